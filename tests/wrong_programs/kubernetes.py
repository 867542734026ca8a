"""Wrong programs of Kubernetes, with what their author is told."""

from collections.abc import Callable
from typing import Any

from tests.wrong_programs.clouds import Clouds


def other_namespace(clouds: Clouds) -> Any:
    clouds.kind("core/v1:Namespace", "ml")
    clouds.kind("core/v1:ConfigMap", "settings", namespace="ml", data={"a": "b"})
    return clouds.deployment({"envFrom": [{"configMapRef": {"name": "settings"}}]})


KUBERNETES: dict[str, tuple[Callable[[Clouds], Any], str]] = {
    "name in capitals": (
        lambda c: c.kind("core/v1:ConfigMap", "Settings", data={}),
        r"metadata.name: 'Settings' is no name in Kubernetes \(DNS-1123\)",
    ),
    "namespace too long": (lambda c: c.kind("core/v1:Namespace", "n" * 64), "up to 63"),
    "namespace that isn't there": (
        lambda c: c.kind("core/v1:ConfigMap", "a", namespace="gone", data={}),
        "metadata.namespace refers to 'gone', but there is no such core/v1:Namespace",
    ),
    "name taken": (
        lambda c: (
            c.kind("core/v1:ConfigMap", "a", data={}),
            c.k8s.create("core/v1:ConfigMap", "b", metadata={"name": "a"}, data={}),
        ),
        "'default/a' is taken: there is kubernetes:core/v1:ConfigMap 'a'",
    ),
    "label's value": (
        lambda c: c.k8s.create("core/v1:ConfigMap", "a", metadata={"name": "a", "labels": {"owner": "ML team"}}),
        "metadata.labels.owner: 'ML team' is no value of a label",
    ),
    "label's key": (
        lambda c: c.k8s.create("core/v1:ConfigMap", "a", metadata={"name": "a", "labels": {"-owner": "ml"}}),
        "the key '-owner' is none that Kubernetes takes",
    ),
    "selector without its label": (
        lambda c: c.deployment(selector={"matchLabels": {"app": "sever"}}),
        "spec.selector.matchLabels: app: sever must be in spec.template.metadata.labels too, which has app: server",
    ),
    "misspelt property": (
        lambda c: c.deployment(replica=2),
        "spec.replica: there is no such property; did you mean 'replicas'",
    ),
    "wrong type": (lambda c: c.deployment(replicas="two"), "spec.replicas: must be an integer, not 'two'"),
    "missing selector": (lambda c: c.deployment(selector=None), "spec.selector: is required and missing"),
    "container without an image": (
        lambda c: c.deployment({"image": None}),
        r"spec.template.spec.containers\[0\].image: is required and missing",
    ),
    "container without a name": (
        lambda c: c.deployment({"name": None}),
        r"containers\[0\].name: is required and missing",
    ),
    "quantity": (
        lambda c: c.deployment({"resources": {"limits": {"memory": "512MB"}}}),
        "limits.memory: '512MB' is no quantity.*512Mi",
    ),
    "pull policy": (
        lambda c: c.deployment({"imagePullPolicy": "always"}),
        "'always' is not one of Always, Never, IfNotPresent",
    ),
    "port": (lambda c: c.deployment({"ports": [{"containerPort": 70000}]}), "70000 is not between 1 and 65535"),
    "mount of no volume": (
        lambda c: c.deployment({"volumeMounts": [{"name": "data", "mountPath": "/data"}]}),
        "'data' is none of spec.template.spec.volumes",
    ),
    "restart policy": (
        lambda c: c.deployment(pod={"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}),
        "'Never' is not one of Always",
    ),
    "account that isn't there": (
        lambda c: c.deployment(pod={"serviceAccountName": "trainer", "containers": [{"name": "a", "image": "b"}]}),
        "serviceAccountName refers to 'trainer', but there is no such core/v1:ServiceAccount in metadata.namespace 'd",
    ),
    "settings of another namespace": (
        other_namespace,
        "refers to 'settings', but there is no such core/v1:ConfigMap in metadata.namespace 'default'",
    ),
    "secret that is no base64": (
        lambda c: c.kind("core/v1:Secret", "s", data={"password": "in clear!"}),
        "is no base64; put plain text into string_data",
    ),
    "service's name": (lambda c: c.kind("core/v1:Service", "1st", spec={"ports": [{"port": 80}]}), "DNS-1035"),
    "service's type": (
        lambda c: c.kind("core/v1:Service", "s", spec={"type": "Loadbalancer"}),
        "'Loadbalancer' is not one of .*did you mean 'LoadBalancer'",
    ),
    "schedule": (
        lambda c: c.kind("batch/v1:CronJob", "c", spec={"schedule": "every day", "jobTemplate": {}}),
        "'every day' is no schedule of cron",
    ),
    "job that never ends": (
        lambda c: c.kind(
            "batch/v1:Job", "j", spec={"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}
        ),
        "spec.template.spec.restartPolicy: is required and missing",
    ),
    "autoscaler of nothing": (
        lambda c: c.kind(
            "autoscaling/v2:HorizontalPodAutoscaler",
            "h",
            spec={"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "gone"}},
        ),
        "refers to 'gone'",
    ),
    "autoscaler upside down": (
        lambda c: c.kind(
            "autoscaling/v2:HorizontalPodAutoscaler",
            "h",
            spec={"minReplicas": 5, "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "a"}},
        ),
        "spec.minReplicas: 5 is more than spec.maxReplicas, which is 3",
    ),
    "role that isn't there": (
        lambda c: c.kind(
            "rbac.authorization.k8s.io/v1:RoleBinding",
            "r",
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gone"},
        ),
        "roleRef.name refers to 'gone'",
    ),
    "way in to nothing": (
        lambda c: c.kind("networking.k8s.io/v1:Ingress", "i", spec={"defaultBackend": {"service": {"name": "gone"}}}),
        "refers to 'gone', but there is no such core/v1:Service",
    ),
    "version of another time": (
        lambda c: c.k8s.check("apps/v1beta1:Deployment", "d", {}),
        "no cluster of today serves: take kubernetes:apps/v1:Deployment",
    ),
}
