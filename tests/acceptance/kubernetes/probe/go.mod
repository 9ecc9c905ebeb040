module keystead.test/probe

go 1.24
