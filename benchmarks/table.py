"""Writes the README's figures from ``benchmarks/results/*.json``: no number is typed by hand.

python -m benchmarks.table            # rewrites the block between the two marks in README.md
python -m benchmarks.table --check    # exit 1 if README.md says something else
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- figures: python -m benchmarks.table -->", "<!-- end of figures -->"


def table() -> str:
    """Return the Markdown between the marks."""
    imports, transform, predict, views, batching, load, swaps = map(
        _result, ["imports", "transform", "predict", "views", "batching", "load", "swaps"]
    )
    times, ours, classic = predict["us_per_call"], views["views"]["inprocml"], views["views"]["classic"]
    row, pipeline = times["predict(row)"], times["scikit-learn pipeline, from the row"]
    machine = views["machine"]
    where = f"{machine['cores']} cores ({machine['cpu']}, Python {machine['python']}"
    rate, slower = ours["requests_per_s"], views["ratio"]["requests_per_s"]
    tails = " | ".join(f"{view['p50_ms']:.1f} / {view['p99_ms']:.1f} ms" for view in (ours, classic))
    lines = [
        f"""## Figures

Measured side by side in one run, medians of interleaved rounds, on {where},
onnxruntime {machine["packages"]["onnxruntime"]}). `make bench` repeats them. Read them as ratios.

| flights model, 100 trees, 224 features | inprocml | scikit-learn pipeline, a DataFrame per request |
|---|---|---|
| one row in process | {row:.0f} us | {pipeline:,.0f} us ({pipeline / row:.0f}x) |
| of which the model itself | {times["session.run alone"]:.0f} us | |
| Flask view, requests/s | {rate:,.0f} | {classic["requests_per_s"]:,.0f} ({slower}x fewer) |
| the same, p50 / p99 | {tails} |

Views: {views["setup"]}, load generator on the same cores.

{_encoding(transform)}

| promise | measured | target | |
|---|---|---|---|"""
    ]
    watched = [_result(name) for name in ("monitoring", "drift") if (RESULTS / f"{name}.json").exists()]
    for result in (imports, transform, predict, batching, load, swaps, *watched):
        for target in result["targets"]:
            verdict = "met" if target["met"] else "**missed**"
            lines.append(f"| {target['what']} | {target['measured']} | {target['target']} | {verdict} |")
    if "contestants" in batching:
        lines += ["", _batching(batching)]
    lines += ["", _loading(load["ms"]), "", _swapping(swaps)]
    return "\n".join(lines)


def _encoding(result: dict[str, Any]) -> str:
    one, many = result["us_per_row"], result["us_per_1000_rows"]
    titles = [
        f"{result['fields']} request fields -> {result['features']} features, checked",
        "inprocml",
        "the same by hand",
        "scikit-learn ColumnTransformer",
    ]
    row = [one["transform_one"], one["by hand, same checks"], one["scikit-learn, from the row"]]
    frame = [many[name] for name in ("DataFrame", "by hand, DataFrame", "scikit-learn, DataFrame")]
    lines = [
        titles,
        ["---"] * len(titles),
        ["one row", *(f"{us:,.1f} us" for us in row)],
        ["1,000 rows from a DataFrame", *(f"{us:,.0f} us" for us in frame)],
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _batching(result: dict[str, Any]) -> str:
    """Return the rivals' table: of the MLP, 32 callers, and what a lone caller pays."""
    lines = [
        "| 32 callers, 50 us model | of the ceiling | p99 in batches | CPU us a row | alone, over bare |",
        "|---|---|---|---|---|",
    ]
    for name, figures in result["contestants"].items():
        busy, over = figures["mlp"]["32"], figures["mlp"]["lone"]["over_bare_us"]
        paid = f"{over / 1e3:,.1f} ms" if over >= 1000 else f"{over:.0f} us"
        lines.append(
            f"| {name} | {busy['of_ceiling']:.0%} | {busy['p99_batches']:.1f} | {busy['cpu_us_per_row']:.0f} "
            f"| {paid} |"
        )
    absent = [f"Not measured: {name} ({why})." for name, why in result["not_measured"].items()]
    return "\n".join(lines + ([""] if absent else []) + absent)


def _loading(figures: dict[str, dict[str, float]]) -> str:
    parts = [
        f"{size} in {figure['first prediction']:.0f} ms (hashing alone {figure['read and hash']:.0f} ms)"
        for size, figure in figures.items()
    ]
    listed = ", ".join(parts)
    return f"From nothing to a first prediction, all bytes verified, golden rows replayed: {listed}."


def _swapping(result: dict[str, Any]) -> str:
    served, rss = result["served"], result["large"]["rss_mb"]
    p99, rate = served["p99_ms"], served["requests_per_s"]["steady"]
    alone = rss["loaded"] - rss["before"]
    return (
        f"{served['moves']} swaps of a small model under {rate:,.0f} requests/s "
        f"of the {served['capacity_requests_per_s']:,} that it can answer ({served['setup']}): p99 "
        f"{p99['steady']:.1f} ms steady, {p99['swapping']:.1f} ms while swapping. A 200 MB model takes "
        f"{alone:.0f} MB; while a new version loads beside it the process peaks at "
        f"{rss['peak of a swap'] - rss['before']:.0f} MB, for ONNX Runtime copies what it reads, and is back "
        f"at {rss['after the last'] - rss['before']:.0f} MB after {result['large']['swaps']} swaps."
    )


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def main() -> int:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
    if "--check" in sys.argv:
        return 0 if text == wanted else 1
    readme.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
