"""The server of docs/serving.md answers about rows, and a wrong row with the line of its error."""

import json
import threading
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pandas
import pytest

import fdl
from benchmarks.serving import server

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    area = np.random.default_rng(0).integers(30, 200, 60)
    houses = pandas.DataFrame({"area": area, "town": ["Bern", "Zug"] * 30, "price": 1000.0 * area})
    houses.to_csv(folder / "houses.csv", index=False)
    page = {"dataset": str(folder / "houses.csv"), "target": "price", "epochs": 2.0, "width": 8, "batch_size": 16}
    fdl.train(fdl.load("table", **page), folder / "run", log=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUN", str(folder / "run"))
        names: dict = {}
        exec(server(), names)
    web = uvicorn.Server(uvicorn.Config(names["app"], port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=web.run)
    thread.start()
    while not web.started and thread.is_alive():
        time.sleep(0.01)
    yield f"http://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}/predict", names["model"]
    web.should_exit = True
    thread.join()


def test_the_server_answers_as_the_model_does(address):
    url, model = address
    row = {"area": 70, "town": "Bern"}
    with urlopen(Request(url, json.dumps([row]).encode())) as response:
        assert json.load(response) == {"value": model.predict([row])["value"].tolist()}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('[{"town": "Bern"}]', "lacks area"),
        ("[]", "no row"),
        ("7", "no table"),
        ("[7]", "no table"),
        ("{", "Expecting property name"),
    ],
)
def test_a_wrong_row_is_status_400_and_one_line(address, body, message):
    with pytest.raises(HTTPError) as refused, urlopen(Request(address[0], body.encode())):
        pass
    with refused.value as response:
        error = json.load(response)["error"]
        assert (response.code, "\n" in error) == (400, False)
        assert message in error
