"""A host that cannot be reached costs seconds and is named, whatever the library would do."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from run_cases import case_of

from amx_suite.core.case import Mode
from amx_suite.errors import UsageError
from amx_suite.workloads import WORKLOADS, network
from amx_suite.workloads.base import Inputs

pytestmark = pytest.mark.selftest


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def closed():
    """A URL whose port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def silent():
    """A URL whose server accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refusing():
    """A URL whose server answers every request with an error."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_any_answer_will_do(refusing):
    assert network.why_unreachable(refusing) is None


def test_closed_port_is_named(closed):
    host = closed.removeprefix("http://")
    assert network.why_unreachable(closed).startswith(f"{host} cannot be reached (")
    assert "cannot be reached" in network.why_unreachable("no URL")


def test_silent_host_is_given_up(silent, monkeypatch):
    monkeypatch.setattr(network, "_SECONDS", 0.3)
    start = time.monotonic()
    assert "cannot be reached" in network.why_unreachable(silent)
    assert time.monotonic() - start < 5


def test_hub_out_of_reach_is_one_sentence(closed, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", closed)
    case = case_of("bert", Mode.TRAINING, weights="nobody/no-such-model")
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        WORKLOADS["bert"].build(case, Inputs(download=True))
    assert time.monotonic() - start < 10
    assert f"{closed.removeprefix('http://')} cannot be reached" in str(caught.value)
    assert "give a folder" in str(caught.value)
    assert str(caught.value).endswith("or run where there is network")


def test_cifar10_out_of_reach_is_one_sentence(closed, monkeypatch, tmp_path):
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", f"{closed}/cifar-10-python.tar.gz")
    inputs = Inputs(data=str(tmp_path), download=True)
    with pytest.raises(UsageError, match=r"cannot be reached .*give the folder .*network$"):
        WORKLOADS["resnet50"].batches(case_of("resnet50", Mode.TRAINING), inputs, 1)
