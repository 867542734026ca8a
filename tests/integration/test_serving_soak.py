"""The soak of benchmarks/soak for a short while, on two workers: good and bad load, and releases that change."""

from benchmarks.soak.load import Soak, serve, two_releases

SECONDS = 20


def test_mixed_load_with_swaps_costs_no_5xx_no_wrong_digest_and_no_growing_memory() -> None:
    with two_releases() as (folder, store_uri, releases), serve(folder, store_uri, releases[0], "2") as server:
        soak = Soak(server, folder, releases, clients=4, swap_every_s=2.0)
        report = soak.run(SECONDS, lambda _line: None)
        said = server.log.read_text()
    assert report["wrong"] == {}
    assert report["swaps"] >= 2
    assert not [answer for answer in report["answers"] if answer.split()[1].startswith("5")]
    assert "Traceback" not in said
