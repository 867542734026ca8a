// Package engine pins the Pulumi CLI, so that it can be built with nothing but a Go module proxy.
package engine

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
