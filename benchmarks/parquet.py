"""Size and processor time of Parquet files as the package writes them, against pyarrow's choice.

Usage: python benchmarks/parquet.py FILE.parquet ... [--repeat N]

Every file is read whole and written in its row groups twice over: with a dictionary for every
column, pyarrow's own, and with `files.parquet_options`; compression and checksums are the same.
Prints the sizes, and the ratios of size and of the least processor time of writing and reading.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cwolaflow.files import parquet_options


def least(repeat: int, run: Callable[[], object]) -> float:
    """Least processor time of several runs in seconds."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def measure(
    table: pa.Table, options: dict, rows: int, repeat: int, folder: Path
) -> tuple[int, float, float]:
    """Bytes of the file, and seconds of one thread that writing and reading it take."""
    path = folder / "table.parquet"
    write = least(repeat, lambda: pq.write_table(table, path, row_group_size=rows, **options))
    read = least(repeat, lambda: pq.read_table(path, use_threads=False))
    return path.stat().st_size, write, read


def main() -> None:
    """Print one line a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'file':60}  {'plain kB':>9} {'ours kB':>9}  size  write   read")
    with tempfile.TemporaryDirectory() as folder:
        for file in arguments.files:
            with pq.ParquetFile(file) as parquet:
                rows, table = parquet.metadata.row_group(0).num_rows, parquet.read()
            ours = parquet_options(table.schema)
            plain = {
                key: value
                for key, value in ours.items()
                if key not in ("use_byte_stream_split", "use_dictionary")
            }
            first, second = (
                measure(table, options, rows, arguments.repeat, Path(folder))
                for options in (plain, ours)
            )
            ratios = "  ".join(f"{b / a:4.2f}" for a, b in zip(first, second, strict=True))
            print(f"{str(file)[-60:]:60}  {first[0] >> 10:9} {second[0] >> 10:9}  {ratios}")


if __name__ == "__main__":
    main()
