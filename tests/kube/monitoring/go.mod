module definitions

go 1.24.0

// Only for the custom resource definitions that its source carries; nothing of it is built.
require github.com/prometheus-operator/prometheus-operator v0.85.0
