// The kubelet of the same release, as Kubernetes' own cmd/kubelet starts it.
package main

import (
	"context"
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kubelet/app"
)

// The command itself hears SIGTERM, and a second listener in one process panics.
func main() {
	os.Exit(cli.Run(app.NewKubeletCommand(context.Background())))
}
