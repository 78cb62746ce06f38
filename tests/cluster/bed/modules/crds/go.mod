module bed.ome.local/crds

go 1.24.0

require (
	sigs.k8s.io/lws v0.7.0
	github.com/kedacore/keda/v2 v2.12.1
	knative.dev/serving v0.39.3
	sigs.k8s.io/gateway-api v1.2.1
	github.com/ray-project/kuberay/ray-operator v1.2.2
	istio.io/api v1.24.2
)
