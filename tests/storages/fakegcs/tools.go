//go:build tools

// Package tools names the program, so that `go mod tidy` keeps its requirements.
package tools

import _ "github.com/fsouza/fake-gcs-server"
