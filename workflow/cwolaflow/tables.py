"""Summary tables of a study, with the published numbers beside ours."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cwolaflow.config.plan import CONTROL
from cwolaflow.config.yaml import read_yaml
from cwolaflow.errors import ConfigError, InputError

LIMIT_NUMBERS = ("median", "minus_2sigma", "minus_1sigma", "plus_1sigma", "plus_2sigma")
LIMIT_KEYS = ("analysis", "supervision", "met_cut_gev", "luminosity_fb")
PUBLISHED_LIMITS = ("published_median", "published_minus_1sigma", "published_plus_1sigma")
LIMIT_COLUMNS = (*LIMIT_KEYS, "seed", *LIMIT_NUMBERS, *PUBLISHED_LIMITS)
METRIC_KEYS = (
    "classifier",
    "supervision",
    "decay_products",
    "augmentation",
    "luminosity_fb",
    "seed",
)
METRIC_NUMBERS = (
    "n_m1",
    "n_m2",
    "n_train",
    "auc_mixed",
    "auc",
    "accuracy",
    "n_test_signal",
    "n_test_background",
)
COUNTS = ("n_m1", "n_m2", "n_train", "n_test_signal", "n_test_background")
MIXTURE_NUMBERS = ("f1", "f2", "auc_mixed_implied", "auc_mixed_excess")
PUBLISHED_METRICS = ("published_auc", "published_auc_std")
METRIC_COLUMNS = (
    *METRIC_KEYS,
    *METRIC_NUMBERS,
    *PUBLISHED_METRICS,
    "auc_no_signal",
    *MIXTURE_NUMBERS,
)
OVERTRAINING_COLUMNS = (
    "classifier",
    "supervision",
    "luminosity_fb",
    "seed",
    "auc_train",
    "auc",
    "auc_train_labels",
    "ks_signal",
    "p_signal",
    "ks_background",
    "p_background",
)
CUTFLOW_COLUMNS = ("sample", "cut", "events", "weighted_fb", "efficiency")
PUBLISHED_SUPERVISION = ("none", "supervised")
SUPERVISION_ORDER = ("none", "supervised", "cwola", "transfer")
MEAN_SEED = "mean"
STD_SEED = "std"


@dataclass(frozen=True)
class PublishedLimit:
    """A published expected upper limit: the median and the edges of its ±1σ band, or NaN."""

    median: float
    minus_1sigma: float
    plus_1sigma: float


@dataclass(frozen=True)
class PublishedAuc:
    """A published area under the ROC curve: mean and standard deviation over trainings."""

    auc: float
    auc_std: float


@dataclass(frozen=True)
class Published:
    """The published numbers of one paper.

    Attributes
    ----------
    source : str
        The paper and the place in it; empty where nothing is published.
    limits : dict
        ``PublishedLimit`` by (analysis, missing-E_T cut in GeV, luminosity in fb⁻¹).
    aucs : dict
        ``PublishedAuc`` by (classifier, supervision, decay products, augmentation, luminosity in
        fb⁻¹); the luminosity is None for supervised trainings.
    """

    source: str = ""
    limits: dict[tuple[str, float, float], PublishedLimit] = field(default_factory=dict)
    aucs: dict[tuple[str, str, str, str, float | None], PublishedAuc] = field(default_factory=dict)


def load_published(path: str | Path) -> Published:
    """Read a YAML file of published numbers.

    Parameters
    ----------
    path : str or Path
        File with the key ``source`` and, where the paper gives any, ``limits`` (entries of
        ``analysis``, ``met_cut_gev``, ``luminosity_fb``, ``median`` and, both or none,
        ``plus_1sigma_offset`` and ``minus_1sigma_offset``) and ``aucs`` (entries of
        ``classifier``, ``supervision``, ``decay_products``, ``augmentation``, ``luminosity_fb``,
        ``auc``, ``auc_std``).

    Raises
    ------
    ConfigError
        The file is not YAML, has unknown, missing or repeated entries, or a number that is not
        positive, or a lower band edge that is not.
    """
    path = Path(path)
    content = read_yaml(path)
    _require_keys(path, "the file", content, {"source"}, {"limits", "aucs"})
    _require_text(path, "the file", content, {"source"})
    limits = {}
    for where, entry in _entries(path, content, "limits"):
        names = {"analysis", "met_cut_gev", "luminosity_fb", "median"}
        offsets = {"plus_1sigma_offset", "minus_1sigma_offset"}
        has_band = isinstance(entry, dict) and not offsets.isdisjoint(entry)
        numbers = names | offsets if has_band else names
        _require_keys(path, where, entry, numbers, offsets)
        _require_text(path, where, entry, {"analysis"})
        _require_positive(path, where, entry, numbers - {"analysis"})
        median = float(entry["median"])
        below, above = (
            float(entry.get(f"{side}_1sigma_offset", math.nan)) for side in ("minus", "plus")
        )
        if below >= median:
            raise ConfigError(
                f"{path}: {where}: `minus_1sigma_offset` {entry['minus_1sigma_offset']} is not "
                f"below the median {median}; give the distance from the median"
            )
        key = (entry["analysis"], float(entry["met_cut_gev"]), float(entry["luminosity_fb"]))
        limit = PublishedLimit(median, median - below, median + above)
        _add_once(path, where, limits, key, limit)
    aucs = {}
    for where, entry in _entries(path, content, "aucs"):
        _require_keys(path, where, entry, {*METRIC_KEYS, "auc", "auc_std"} - {"seed"})
        _require_text(path, where, entry, set(METRIC_KEYS[:4]))
        luminosity = entry["luminosity_fb"]
        numbers = {"auc", "auc_std"} | ({"luminosity_fb"} if luminosity is not None else set())
        _require_positive(path, where, entry, numbers)
        key = (
            entry["classifier"],
            entry["supervision"],
            entry["decay_products"],
            entry["augmentation"],
            None if luminosity is None else float(luminosity),
        )
        auc = PublishedAuc(float(entry["auc"]), float(entry["auc_std"]))
        _add_once(path, where, aucs, key, auc)
    return Published(content["source"], limits, aucs)


def limits_table(limits: Iterable[Mapping[str, Any]], published: Published) -> pd.DataFrame:
    """Expected upper limits of all analyses, one row a fit, and their means over seeds.

    Parameters
    ----------
    limits : iterable of mappings
        Entries of the ``limits.json`` files: the columns below less `PUBLISHED_LIMITS`; ``seed``
        is None where nothing is trained.
    published : Published
        Published limits, of shapes and of networks trained with labels: a row of either has the
        median and the edges of the ±1σ band of the one with the same analysis, missing-E_T cut and
        luminosity, other rows have none.

    Returns
    -------
    pandas.DataFrame
        Columns ``LIMIT_COLUMNS``. ``seed`` is text: empty where nothing is trained, ``mean`` in
        the one further row that holds the means of the five numbers where there are several
        seeds. The order does not depend on the order of the input.

    Raises
    ------
    InputError
        A number is missing or given twice.
    """
    columns = (*LIMIT_KEYS, "seed", *LIMIT_NUMBERS)
    table = _frame(limits, columns, "limit", keys=(*LIMIT_KEYS, "seed"))
    table = table.astype(dict.fromkeys(("met_cut_gev", "luminosity_fb", *LIMIT_NUMBERS), float))
    table = table.sort_values(
        ["supervision", "analysis", "met_cut_gev", "luminosity_fb", "seed"],
        key=_sort_key,
        ignore_index=True,
    )
    table["seed"] = _seed_text(table["seed"])
    blocks = []
    for key, group in table.groupby(list(LIMIT_KEYS), sort=False):
        blocks.append(group)
        if len(group) > 1:
            mean = dict(zip(LIMIT_KEYS, key, strict=True)) | {"seed": MEAN_SEED}
            mean |= group[list(LIMIT_NUMBERS)].mean().to_dict()
            blocks.append(pd.DataFrame([mean]))
    table = pd.concat(blocks, ignore_index=True) if blocks else table
    nothing = PublishedLimit(math.nan, math.nan, math.nan)
    keys = zip(table.analysis, table.met_cut_gev, table.luminosity_fb, strict=True)
    comparable = table.supervision.isin(PUBLISHED_SUPERVISION)
    found = [
        astuple(published.limits.get(key, nothing) if same else nothing)
        for key, same in zip(keys, comparable, strict=True)
    ]
    table[list(PUBLISHED_LIMITS)] = np.array(found, float).reshape(-1, len(PUBLISHED_LIMITS))
    return table[list(LIMIT_COLUMNS)]


def precision_table(limits: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """How well the median limits are known, given the size of the simulation.

    Parameters
    ----------
    limits : iterable of mappings
        Entries of the ``limits.json`` files.

    Returns
    -------
    pandas.DataFrame
        ``analysis``, ``supervision``, ``met_cut_gev``, ``luminosity_fb`` and
        ``simulation_error``, relative to the median; the mean over seeds.
    """
    keys = list(LIMIT_KEYS)
    table = _frame(limits, (*keys, "seed", "simulation_error"), "limit", keys=(*keys, "seed"))
    mean = table.groupby(keys, sort=False)["simulation_error"].mean().reset_index()
    return mean.sort_values(keys, key=_sort_key, ignore_index=True)


def read_limits(path: str | Path) -> pd.DataFrame:
    """Read a ``limits.csv`` back, with ``seed`` as text that is empty where nothing is trained.

    Raises
    ------
    InputError
        The file lacks a column.
    """
    table = pd.read_csv(path, dtype={"seed": str, "analysis": str, "supervision": str})
    missing = [name for name in LIMIT_COLUMNS if name not in table]
    if missing:
        raise InputError(f"{path}: lacks the columns {missing}; delete it and run again")
    return table.fillna({"seed": ""})


def metrics_table(
    metrics: Iterable[Mapping[str, Any]],
    names: Mapping[str, Mapping[str, str]],
    published: Published,
) -> pd.DataFrame:
    """Quality of every training, one row each, and the mean and spread over seeds.

    Parameters
    ----------
    metrics : iterable of mappings
        Contents of the ``metrics.json`` files with ``classifier`` (its key in the study),
        ``supervision``, ``luminosity_fb`` (None for supervised trainings) and ``seed``.
    names : mapping
        ``classifier``, ``decay_products`` and ``augmentation`` as they stand in the table, by key
        of the classifier, from `config.plan.metric_names`.
    published : Published
        Published areas under the ROC curve.

    Returns
    -------
    pandas.DataFrame
        Columns ``METRIC_COLUMNS``; ``luminosity_fb`` is NaN for supervised trainings. ``seed`` is
        text: where there are several, two further rows ``mean`` and ``std`` hold the means and
        standard deviations (n - 1) of all numbers, counts rounded. ``auc_no_signal``, of the rows
        ``cwola``, is the mean ``auc`` of the same classifier trained at the same luminosity as
        ``cwola_control``, in the row ``std`` its standard deviation; NaN where there is none.
        The published numbers stand in all rows. The order does not depend on the order of the
        input.

    Raises
    ------
    InputError
        A number is missing or given twice.
    """
    rows = [dict(entry) | names[entry["classifier"]] for entry in metrics]
    columns = (*METRIC_KEYS, *METRIC_NUMBERS, *MIXTURE_NUMBERS)
    table = _frame(rows, columns, "metrics", keys=METRIC_KEYS)
    floats = [name for name in columns if name not in (*METRIC_KEYS, *COUNTS)]
    table = table.astype(
        dict.fromkeys(("luminosity_fb", *floats), float) | dict.fromkeys(COUNTS, "Int64")
    )
    table = table.sort_values(
        ["classifier", "supervision", "decay_products", "augmentation", "luminosity_fb", "seed"],
        key=_sort_key,
        na_position="first",
        ignore_index=True,
    )
    table["seed"] = _seed_text(table["seed"])
    table = _with_spread(table, METRIC_KEYS[:-1], [*floats, *COUNTS])
    table["auc_no_signal"] = _auc_no_signal(table)
    keys = zip(*(table[name] for name in METRIC_KEYS[:4]), table["luminosity_fb"], strict=True)
    found = [published.aucs.get((*key[:4], None if math.isnan(key[4]) else key[4])) for key in keys]
    table["published_auc"] = [math.nan if entry is None else entry.auc for entry in found]
    table["published_auc_std"] = [math.nan if entry is None else entry.auc_std for entry in found]
    return table[list(METRIC_COLUMNS)]


def _with_spread(table: pd.DataFrame, keys: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Add a row ``mean`` and a row ``std`` after the rows of each point with several seeds."""
    blocks = []
    for key, group in table.groupby(list(keys), sort=False, dropna=False):
        blocks.append(group)
        if len(group) > 1:
            of_numbers = group[list(numbers)].astype(float)
            spread = pd.DataFrame(
                [of_numbers.mean(), of_numbers.std(ddof=1)], columns=list(numbers)
            )
            spread[list(COUNTS)] = spread[list(COUNTS)].round()
            spread = spread.assign(seed=[MEAN_SEED, STD_SEED], **dict(zip(keys, key, strict=True)))
            blocks.append(spread.astype(table.dtypes.to_dict()))
    return pd.concat(blocks, ignore_index=True) if blocks else table


def _auc_no_signal(table: pd.DataFrame) -> pd.Series:
    """AUC of the control without signal, for the rows ``cwola``."""
    is_seed = ~table["seed"].isin([MEAN_SEED, STD_SEED])
    point = ["classifier", "decay_products", "augmentation", "luminosity_fb"]
    controls = table[is_seed & (table["supervision"] == CONTROL)]
    spread = controls.groupby(point)["auc"].agg(["mean", "std"]).reset_index()
    found = table[point].merge(spread, on=point, how="left")
    chosen = found["mean"].where(table["seed"] != STD_SEED, found["std"])
    return chosen.where(table["supervision"] == "cwola")


def read_metrics(path: str | Path) -> pd.DataFrame:
    """Read a ``metrics.csv`` back, with keys as text that is empty where there is none.

    Raises
    ------
    InputError
        The file lacks a column.
    """
    texts = [name for name in METRIC_KEYS if name != "luminosity_fb"]
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, str))
    missing = [name for name in METRIC_COLUMNS if name not in table]
    if missing:
        raise InputError(f"{path}: lacks the columns {missing}; delete it and run again")
    return table.fillna(dict.fromkeys(texts, ""))


def join_cutflows(cutflows: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Cutflows of all samples below one another, in the order given.

    Parameters
    ----------
    cutflows : iterable of pandas.DataFrame
        One table a sample, with the columns ``CUTFLOW_COLUMNS``: cumulative numbers of simulated
        events, of expected events per fb⁻¹, and efficiency; the first row is the cut ``all``.

    Raises
    ------
    InputError
        A column is missing, a sample comes twice, or two samples have different cuts.
    """
    tables = list(cutflows)
    seen: dict[str, list[str]] = {}
    for table in tables:
        missing = [name for name in CUTFLOW_COLUMNS if name not in table]
        if missing:
            raise InputError(f"cutflow: lacks the columns {missing}; run the skim again")
        samples = table["sample"].unique()
        if len(samples) != 1 or samples[0] in seen:
            raise InputError(
                f"cutflow: samples {list(samples)} where one new sample was expected; "
                "give one table a sample"
            )
        seen[samples[0]] = list(table["cut"])
    for sample, cuts in seen.items():
        first = next(iter(seen.values()))
        if cuts != first:
            raise InputError(
                f"cutflow of {sample}: cuts {cuts} differ from {first}; run the skims again"
            )
    if not tables:
        return pd.DataFrame(columns=list(CUTFLOW_COLUMNS))
    return pd.concat(tables, ignore_index=True)[list(CUTFLOW_COLUMNS)]


def _frame(
    rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...], what: str, keys: tuple[str, ...]
) -> pd.DataFrame:
    rows = list(rows)
    seen = set()
    for row in rows:
        missing = [name for name in columns if name not in row]
        if missing:
            named = {name: row[name] for name in keys if name in row}
            raise InputError(f"{what} of {named}: lacks {missing}; delete its file and run again")
        key = tuple(row[name] for name in keys)
        if key in seen:
            named = dict(zip(keys, key, strict=True))
            raise InputError(f"{what} of {named}: given twice; give each result once")
        seen.add(key)
    return pd.DataFrame([[row[name] for name in columns] for row in rows], columns=list(columns))


def _sort_key(column: pd.Series) -> pd.Series:
    if column.name == "supervision":
        return column.map(_supervision_rank)
    if column.name == "seed":
        return pd.to_numeric(column)
    return column


def _supervision_rank(name: str) -> str:
    """Variants, called ``cwola_...``, come after the kind that they vary."""
    kind = name.split("_")[0]
    rank = SUPERVISION_ORDER.index(kind) if kind in SUPERVISION_ORDER else len(SUPERVISION_ORDER)
    return f"{rank} {name}"


def _seed_text(seeds: pd.Series) -> list[str]:
    return ["" if pd.isna(seed) else str(int(seed)) for seed in seeds]


def _entries(path: Path, content: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    entries = content.get(name, [])
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: `{name}` is {type(entries).__name__}; make it a list")
    return [(f"{name}[{index}]", entry) for index, entry in enumerate(entries)]


def _require_keys(
    path: Path, where: str, entry: Any, required: set[str], optional: set[str] = frozenset()
) -> None:
    if not isinstance(entry, dict):
        raise ConfigError(f"{path}: {where} is {type(entry).__name__}; make it a mapping")
    missing = sorted(required - set(entry))
    unknown = sorted(set(map(str, entry)) - required - optional)
    if missing or unknown:
        raise ConfigError(
            f"{path}: {where} lacks {missing} and has unknown {unknown}; "
            f"the keys are {sorted(required | optional)}"
        )


def _require_text(path: Path, where: str, entry: Mapping[str, Any], names: set[str]) -> None:
    for name in sorted(names):
        if not isinstance(entry[name], str):
            raise ConfigError(f"{path}: {where}: `{name}` is {entry[name]!r}; give text")


def _require_positive(path: Path, where: str, entry: Mapping[str, Any], names: set[str]) -> None:
    for name in sorted(names):
        value = entry[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value <= 0:
            raise ConfigError(f"{path}: {where}: `{name}` is {value!r}; give a positive number")


def _add_once(path: Path, where: str, found: dict, key: tuple, value: Any) -> None:
    if key in found:
        raise ConfigError(f"{path}: {where} repeats {key}; give each published number once")
    found[key] = value


def overtraining_table(metrics: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Scores of training and of held-out events of every training that has both classes.

    Parameters
    ----------
    metrics : iterable of mappings
        Contents of the ``metrics.json`` files; ``overtraining`` is from
        `discrimination.overtraining`, or None.

    Returns
    -------
    pandas.DataFrame
        Columns ``OVERTRAINING_COLUMNS``, a row a training whose ``overtraining`` is not None.
    """
    rows = [{**job, **job["overtraining"]} for job in metrics if job["overtraining"] is not None]
    return pd.DataFrame(rows, columns=list(OVERTRAINING_COLUMNS))
