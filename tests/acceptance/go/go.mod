module keystead.example/acceptance

go 1.19

require github.com/fortanix/sdkms-client-go v0.4.0

require github.com/pkg/errors v0.8.1 // indirect
