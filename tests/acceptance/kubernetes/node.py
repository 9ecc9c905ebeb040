"""A node of real parts: the kubelet, containerd and runc, which run a cluster's pods in containers on this machine.

They live in mount and process namespaces of their own, and when the first of them is killed all of it ends: processes,
containers and mounts. Pods use the host's network (there is no CNI here) and are to listen on loopback only.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.kubernetes import control_groups
from tests.acceptance.kubernetes.cluster import ApiServer, Etcd, Process, service_account_key, within
from tests.kit.kms_plugin import private

PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "setpriv", "unshare")

# $1 folder, $2 control group, $3 kubelet; the rest are images.
#
# What the programs keep in fixed places of the machine goes to memory of this namespace; images too, which are unpacked
# far more quickly there. The kubelet wants some of the kernel's settings changed, for the whole machine: it finds them
# as it likes them, in files laid over the true ones.
START = """
mount --make-rshared /
for place in /opt /run /var/lib /var/log; do mount -t tmpfs -o mode=755 node "$place"; done
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
               kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    wanted=/run/${setting##*/}
    echo "${setting#*=}" >"$wanted"
    mount --bind "$wanted" "/proc/sys/${setting%=*}"
done
folder=$1 control=$2 kubelet=$3
shift 3
echo 1 >"$control/cgroup.procs"
containerd --config "$folder/containerd.toml" >>"$folder/containerd.log" 2>&1 &
until ctr --address "$folder/containerd.sock" version >/dev/null 2>&1; do sleep 0.05; done
for image; do ctr --address "$folder/containerd.sock" --namespace k8s.io images import "$image"; done
exec "$kubelet" --config="$folder/kubelet.json" --kubeconfig="$folder/kubeconfig" --root-dir="$folder/kubelet" \
    --cert-dir="$folder/kubelet/pki" --hostname-override="${folder##*/}" --v=1
"""

CONTAINERD = """
version = 2
root = "/run/containerd/root"
state = "/run/containerd/state"
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox}"
  # Where root may not lower it (no CAP_SYS_RESOURCE), it stays as it is.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{folder}/cni"
  conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"""

# A network must be configured for the node to be Ready. A pod that asks for one hears that there is no such plugin.
NO_NETWORK = {"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "pods-use-the-hosts-network"}]}


class Node(Process):
    """Its name is that of its folder. The kubelet is the cluster's administrator: what it may do is no matter."""

    ready_seconds = 300.0  # images have to be unpacked first, on a machine that may be busy

    def __init__(self, folder: Path, api: ApiServer, images: Sequence[Path], sandbox: str) -> None:
        super().__init__(folder)
        self.name = folder.name
        self._api, self._images, self._sandbox = api, images, sandbox
        self.control = f"keystead-node-{secrets.token_hex(4)}"
        self._runs = 0

    def start(self, *, wait: bool = True) -> None:
        self._configure()
        control_groups.make(f"{self.control}/node")
        super().start(wait=wait)

    def command(self) -> list[str]:
        # The first process of the namespaces dies with `unshare`, and `unshare` with the thread that started it.
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        control = control_groups.hierarchy("pids") / self.control / "node"
        arguments = [self.folder, control, self._api.binaries / "kubelet", *self._images]
        shell = ["sh", "-euc", START, "node", *map(str, arguments)]
        return ["setpriv", "--pdeathsig", "KILL", "--", *namespaces, *shell]

    def ready(self) -> bool:
        found = self._api.get(f"/api/v1/nodes/{self.name}")
        if found.status_code != 200:
            return False
        conditions = found.json()["status"].get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def stop(self) -> None:
        """As if its power had failed: what runs in its containers is killed."""
        self.kill()

    def kill(self) -> None:
        super().kill()
        within(30, lambda: control_groups.remove(self.control), lambda: f"processes of {self.name} are left")

    def said(self) -> str:
        containerd = self.folder / "containerd.log"
        return super().said() + (f"\n{containerd.read_text()[-2000:]}" if containerd.exists() else "")

    # -- pods ------------------------------------------------------------------------------------------------------

    def place(self, pod: dict[str, Any]) -> dict[str, Any]:
        """The pod as it can run here: there is no scheduler, no network, no registry, and no admission of accounts."""
        here = {"nodeName": self.name, "hostNetwork": True}
        usual = {"serviceAccountName": "default", "automountServiceAccountToken": False}
        containers = {
            kind: [{"imagePullPolicy": "Never", **each} for each in pod["spec"][kind]]
            for kind in ("initContainers", "containers")
            if kind in pod["spec"]
        }
        return {**pod, "spec": {**usual, **pod["spec"], **here, **containers}}

    def run(self, name: str, *containers: dict[str, Any], namespace: str = "default", **spec: Any) -> None:
        """Create a pod of these containers here."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"terminationGracePeriodSeconds": 1, **spec, "containers": list(containers)},
        }
        self._api.kubectl("create", "-f", "-", given=json.dumps(self.place(pod)))

    def pod(self, name: str, namespace: str = "default") -> dict[str, Any]:
        found = self._api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        assert found.status_code == 200, found.text
        return dict(found.json())

    def wait(self, name: str, phase: str = "Running", *, namespace: str = "default", seconds: float = 30) -> None:
        """Until the pod is in this phase; Running also means that all of its containers are ready."""

        def reached() -> bool:
            status = self.pod(name, namespace)["status"]
            ready = all(each["ready"] for each in status.get("containerStatuses", [{"ready": False}]))
            return status.get("phase") == phase and (phase != "Running" or ready)

        within(seconds, reached, lambda: f"{json.dumps(self.pod(name, namespace)['status'], indent=1)}\n{self.said()}")

    def status(self, pod: str, container: str, namespace: str = "default") -> dict[str, Any]:
        """A container's status; init containers and sidecars too."""
        status = self.pod(pod, namespace)["status"]
        lists = (status.get("initContainerStatuses", []), status.get("containerStatuses", []))
        return next((dict(each) for some in lists for each in some if each["name"] == container), {})

    def logs(self, pod: str, container: str, namespace: str = "default", *, run: int = -1) -> str:
        """What a container wrote, both streams, in its last run unless another is named (0 is the first)."""
        uid = self.pod(pod, namespace)["metadata"]["uid"]
        folder = self.folder / "logs" / f"{namespace}_{pod}_{uid}" / container
        runs = sorted(folder.glob("*.log"), key=lambda path: int(path.stem))
        return _unwrapped(runs[run].read_text()) if runs else ""

    def exec(
        self, pod: str, container: str, command: Sequence[str], namespace: str = "default"
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a container, as its user and with its environment."""
        self._runs += 1
        fifos = ["--exec-id", f"exec{self._runs}", "--fifo-dir", str(self.folder / "fifos")]
        address = ["--address", str(self.folder / "containerd.sock"), "--namespace", "k8s.io"]
        return subprocess.run(
            ["ctr", *address, "tasks", "exec", *fifos, self._id(pod, container, namespace), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def processes(self, pod: str, container: str, namespace: str = "default") -> list[int]:
        """Of a container, by their numbers on this machine."""
        return control_groups.members(self._group("pids", self._id(pod, container, namespace)))

    def memory(self, pod: str, container: str, namespace: str = "default") -> control_groups.Memory:
        return control_groups.memory(self._group("memory", self._id(pod, container, namespace)))

    # -- inside ----------------------------------------------------------------------------------------------------

    def _configure(self) -> None:
        (self.folder / "cni").mkdir(exist_ok=True)
        (self.folder / "fifos").mkdir(exist_ok=True)
        (self.folder / "cni" / "none.conflist").write_text(json.dumps(NO_NETWORK))
        (self.folder / "containerd.toml").write_text(CONTAINERD.format(folder=self.folder, sandbox=self._sandbox))
        private(self.folder / "kubeconfig", json.dumps(self._api.kubeconfig()))
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{self.folder / 'containerd.sock'}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.control}",
            "failCgroupV1": False,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "enableServer": False,  # nothing listens: logs lie in files, and commands go by containerd's socket
            "healthzPort": 0,
            "makeIPTablesUtilChains": False,
            "enableControllerAttachDetach": False,
            "registerNode": True,
            "podLogsDir": str(self.folder / "logs"),
            "volumePluginDir": str(self.folder / "plugins"),
            "serializeImagePulls": False,
            "syncFrequency": "5s",
            "configMapAndSecretChangeDetectionStrategy": "Watch",
        }
        (self.folder / "kubelet.json").write_text(json.dumps(configuration))

    def _id(self, pod: str, container: str, namespace: str) -> str:
        status = self.status(pod, container, namespace)
        assert status.get("containerID"), f"{container} of {pod} has not started: {status}"
        return str(status["containerID"]).removeprefix("containerd://")

    def _group(self, controller: str, container: str) -> Path:
        found = next((control_groups.hierarchy(controller) / self.control).rglob(container), None)
        assert found is not None, f"no control group of {container}"
        return found


@contextmanager
def node_for(api: ApiServer, images: Sequence[Path], sandbox: str, name: str = "node") -> Iterator[Node]:
    """A node beside a running API server, in its folder."""
    node = Node(api.folder / name, api, images, sandbox)
    try:
        node.start()
        yield node
    finally:
        node.remove()


@contextmanager
def cluster_for(binaries: Path) -> Iterator[ApiServer]:
    """An API server with its etcd, and the account under which pods run: for tests that need no more of a cluster."""
    folder = Path(tempfile.mkdtemp(prefix="node-"))
    etcd = Etcd("etcd", folder / "etcd")
    api = ApiServer(binaries, folder / "api", etcd, service_account_key(folder / "service-accounts.key"))
    try:
        etcd.start()
        api.start()
        api.kubectl("create", "serviceaccount", "default")
        yield api
    finally:
        api.remove()
        etcd.remove()
        shutil.rmtree(folder, ignore_errors=True)


def why_not() -> str:
    """What keeps this machine from being a node; nothing where it can be one."""
    if os.geteuid() != 0:
        return "containers are made by root only"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} not installed; tests/tools.sh does it"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        return f"no namespaces may be made here: {tried.stderr.decode().strip()}"
    if not all(os.access(each, os.W_OK) for each in control_groups.hierarchies()):
        return "no control groups may be made here"
    return ""


def _unwrapped(written: str) -> str:
    """A log as CRI writes it, `TIME STREAM F|P TEXT`, without all but the text. P: the line goes on in the next."""
    parts = [line.split(" ", 3) for line in written.splitlines()]
    return "".join(text + ("" if tag == "P" else "\n") for _time, _stream, tag, text in parts)
