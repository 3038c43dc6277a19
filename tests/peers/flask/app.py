"""A small shop in Flask. It knows nothing of OpenTelemetry."""

import json
import signal
import sys
import threading

from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server

PRODUCTS = {number: f"product {number}" for number in range(1, 10)}

app = Flask("shop")


@app.get("/products")
def products():
    return [name for name in PRODUCTS.values() if request.args.get("q", "") in name]


@app.get("/products/<int:number>")
def product(number):
    name = PRODUCTS.get(number)
    return (name, 200) if name else ("no such product", 404)


@app.post("/orders")
def order():
    return {"ordered": request.get_json()["product"]}, 201


@app.route("/orders/<int:number>", methods=["GET", "PUT", "DELETE"])
def one_order(number):
    return ("", 204) if request.method == "DELETE" else ({"order": number}, 200)


@app.get("/reports")
def reports():
    raise RuntimeError("the planted failure")


class Silent(WSGIRequestHandler):
    """Answers at once, and without a line of log for each request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log(self, *_):
        pass


def main():
    app.logger.disabled = True
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    # serve_forever() has to be on another thread than the one that ends it.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(json.dumps({"port": server.port}), flush=True)
    server.serve_forever(poll_interval=0.05)
    return 0


if __name__ == "__main__":
    sys.exit(main())
