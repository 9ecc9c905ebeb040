// The launcher: the standard library only, so that what runs inside every application's container is this and Go.
module keystead.example/launcher

go 1.24.0
