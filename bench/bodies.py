"""What the sources answer: JSON of realistic kinds, the same in every run."""
import json


def dumps(value):
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"))


def _order(n):
    return {"id": 90210 + n, "placed": f"2026-01-{n + 10}T08:15:00Z", "total": {"cents": 4590 + n, "currency": "EUR"},
            "lines": [{"sku": f"DK-{n:04}", "count": n % 3 + 1, "title": "Brass door knocker, polished"}], "paid": n % 2 == 0}


SOURCES = {
    "user": {
        "id": 42, "name": "Elin Ostergaard", "mail": "elin@example.com", "since": "2019-05-04T10:00:00Z", "segment": "gold",
        "address": {"street": "Rosengade 14", "city": "Aarhus", "zip": "8000", "country": "DK", "lat": 56.1629, "lon": 10.2039},
        "consents": [{"kind": kind, "given": True, "at": "2025-11-03T17:20:11Z"} for kind in ("mail", "sms", "post", "profile")],
        "limits": {"credit": 250000, "open": 12, "score": 0.8731},
        "note": "Prefers delivery in the afternoon; the bell at the front door does not work, the one in the yard does. " * 5,
    },
    "orders": [_order(n) for n in range(6)],
    "tips": {"segment": "gold", "items": [
        {"sku": f"TP-{n:04}", "title": "Letter box of cast iron with a lock", "price": 8990 + n, "score": 0.99 - n / 100,
         "image": f"https://img.example.com/tp/{n:04}/large.webp"} for n in range(7)]},
}


def _article(n):
    return {
        "id": 10_000_000_000_000 + n, "sku": f"DK-{n:05}", "title": f"Door knocker no. {n}, \"polished\"", "active": n % 7 != 0,
        "price": {"cents": 4590 + n, "currency": "EUR", "vat": 0.25}, "stock": [{"place": p, "count": n % 40} for p in ("CPH", "AAR")],
        "text": "Cast by hand in a small foundry, polished twice and waxed; screws and a template for drilling are in the box. ",
        "labels": ["door", "brass", "polished"], "replaced_by": None, "changed": "2026-01-31T08:15:00Z",
    }


KEPT_LITTLE = ["items[].id", "items[].price.cents"]
KEPT_MOST = ["page", *(f"items[].{name}" for name in _article(0) if name != "replaced_by")]
LARGE_JSON_BYTES = 100 * 1024


def large():
    """About 100 KiB: a page of articles."""
    one = len(dumps(_article(1))) + 1
    return dumps({"items": [_article(n) for n in range(LARGE_JSON_BYTES // one)], "page": {"number": 1, "of": 12}})


def kept(names):
    """What `keep` leaves of `large`, as values."""
    value = json.loads(large())
    tops = {name.removeprefix("items[].").split(".")[0] for name in names}
    items = [{k: v for k, v in item.items() if k in tops} for item in value["items"]]
    if "items[].price.cents" in names:
        for item in items:
            item["price"] = {"cents": item["price"]["cents"]}
    return {"items": items, **({"page": value["page"]} if "page" in names else {})}
