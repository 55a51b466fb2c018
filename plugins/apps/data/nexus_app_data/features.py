"""`nexus features`: what the features are, and what they look like on the synthetic market."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from nexus_core.cli.output import Json, command, pairs, show, table
from nexus_core.errors import NotFoundError, UsageError, hint

app = command(help="The standard features: what they are, and what they look like.")

MINUTE = 60_000_000_000

Name = Annotated[str, Argument(help="Name of a feature.")]
Plot = Annotated[Path | None, Option(help="Draw price and feature into this PNG file.")]
Bars = Annotated[int, Option(help="Bars of one minute of the synthetic market.", min=1, max=1_000_000)]
Seed = Annotated[int, Option(help="Seed of the synthetic market.", min=0)]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the standard features by category."""
    from nexus_features import CATEGORIES

    facts = [_facts(each, category) for category, features in CATEGORIES.items() for each in features]
    columns = ("category", "name", "unit", "needs", "warmup", "formula")
    show(as_json, facts, table([[each[column] for column in columns] for each in facts], columns))


@app.command("show")
def show_(name: Name, plot: Plot = None, bars: Bars = 10_000, seed: Seed = 7, as_json: Json = False) -> None:
    """Compute a feature on the synthetic market: its range, and how often it is unknown."""
    import numpy as np
    from nexus_features import CATEGORIES

    found = {each.name: (each, category) for category, features in CATEGORIES.items() for each in features}
    if name not in found:
        raise NotFoundError(
            f"features: there is no {name}.{hint(name, found)} See them all: nexus features list"
        )
    rows, values = _computed(found[name][0], bars, seed)
    known = values[~np.isnan(values)]
    spread = {
        "min": float(known.min()) if known.size else None,
        "median": float(np.median(known)) if known.size else None,
        "max": float(known.max()) if known.size else None,
        "unknown": float(np.isnan(values).mean()),
    }
    if plot is not None:
        _draw(rows, values, *found[name], plot)
    facts = {**_facts(*found[name]), "bars": bars, "seed": seed, **spread}
    text = facts | {each: "-" if facts[each] is None else f"{facts[each]:.6g}" for each in spread}
    text |= {"unknown": f"{100.0 * spread['unknown']:.2f} % of the bars"}
    show(
        as_json, facts | ({"plot": str(plot)} if plot else {}), pairs(text | ({"plot": plot} if plot else {}))
    )


def _facts(feature: Any, category: str) -> dict[str, Any]:
    """Return what is known of a feature on bars of one minute."""
    return {
        "category": category,
        "name": feature.name,
        "formula": feature.formula,
        "unit": feature.unit,
        "needs": feature.needs,
        "window": feature.rows(MINUTE),
        "warmup": feature.warmup(MINUTE),
        "reference": feature.reference,
    }


def _computed(feature: Any, bars: int, seed: int) -> tuple[Any, Any]:
    """Return rows of the synthetic market, of its order flow where a book is needed, and their feature."""
    import numpy as np
    from nexus_features import NAMES, Standard

    from nexus_core import Market, plugins
    from nexus_core.market.blocks import Between
    from nexus_core.market.events import unknown
    from nexus_core.market.features import FeatureLoop, Views
    from nexus_core.types import Instrument

    feed = plugins.load("feeds", "synthetic")(market="flow" if feature.needs == "book" else "bars")
    market, books = Market((Instrument("BTC-USD"),), MINUTE, seed, bars), Views(1)
    loop, place = FeatureLoop("standard", Standard(), 1, MINUTE), NAMES.index(feature.name)
    rows, values = [], []
    for chunk in feed.chunks(market, 0):
        first, last, size = chunk.starts[:-1], chunk.starts[1:], len(chunk.rows)
        views, out, missing = unknown(size), np.empty((size, len(NAMES))), np.zeros(size, np.int64)
        if chunk.events is not None:
            between = Between(chunk.events, chunk.event_starts[:-1], chunk.event_starts[1:])
            books.run(chunk.rows, first, last, between, views)
        loop.run(chunk.rows, first, last, views, out, missing)
        rows.append(chunk.rows)
        values.append(out[:, place])
    return np.concatenate(rows), np.concatenate(values)


def _draw(rows: Any, values: Any, feature: Any, category: str, path: Path) -> None:
    """Draw price above the feature, over the number of the bar."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(10, 6), layout="constrained")
    above.plot(rows["close"], linewidth=0.8)
    above.set_ylabel("close")
    above.set_title(f"{feature.name} ({category}): {feature.formula}", fontsize=9)
    below.plot(values, linewidth=0.8, color="tab:orange")
    below.set_ylabel(feature.unit)
    below.set_xlabel("bar")
    try:
        figure.savefig(path, format="png", dpi=110)
    except OSError as error:
        raise UsageError(
            f"features: {path} cannot be written ({error.strerror}). Choose another place with --plot."
        ) from error
    finally:
        pyplot.close(figure)
