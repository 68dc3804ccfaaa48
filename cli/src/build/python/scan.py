"""Looks at a Python strategy before it is built, and says what would not work in the sandbox: `scan.py FOLDER`.

It reads the sources and runs none of them. Prints one JSON object: `problems` (file, line, what, fix), the name of the
`strategy` class, and the `imports` of all its files, which the component must hold because nothing can be imported later.
"""

import ast
import json
import sys
from pathlib import Path

ENTRY = "strategy.py"
SKIPPED_FOLDERS = {"tests", "vendor", "__pycache__", "node_modules", "venv"}

# What works in the sandbox and gives the same answer in every replay. Everything else of the standard library is refused.
CARRIED = set(
    """
    __future__ abc array ast base64 binascii bisect calendar cmath codecs collections colorsys contextlib copy copyreg csv
    dataclasses datetime decimal difflib enum errno fractions functools graphlib hashlib heapq hmac html io itertools json
    keyword math numbers operator pathlib pprint random re reprlib statistics string struct sys textwrap traceback types
    typing unicodedata warnings weakref zlib pinion_strategy
    """.split()
)

FIXES = {
    "time": "self.now is the time of the records, ns since 1970",
    "os": "there are no files, variables or processes in the sandbox; params are in strategy.yaml",
    "logging": "self.log(message), or print",
    "secrets": "random.Random(seed) draws the same in every replay",
    "uuid": "count, and use tag= to mark an order",
    "threading": "a strategy has one thread and never waits; self.set_timer(id, at) for what comes later",
    "asyncio": "a strategy has one thread and never waits; self.set_timer(id, at) for what comes later",
    "multiprocessing": "a strategy has one thread and never waits; run more instances by partitions",
    "concurrent": "a strategy has one thread and never waits; run more instances by partitions",
    "subprocess": "a strategy cannot start programs",
    "socket": "a strategy reaches nothing but its host; data comes as inputs of strategy.yaml",
    "ssl": "a strategy reaches nothing but its host; data comes as inputs of strategy.yaml",
    "http": "a strategy reaches nothing but its host; data comes as inputs of strategy.yaml",
    "urllib": "a strategy reaches nothing but its host; data comes as inputs of strategy.yaml",
    "requests": "a strategy reaches nothing but its host; data comes as inputs of strategy.yaml",
    "ctypes": "there is no native code in the sandbox; write it in Python, or the strategy in Rust",
    "numpy": "there is no native code in the sandbox; lists, array and statistics, or the strategy in Rust",
    "pandas": "there is no native code in the sandbox; lists, array and statistics, or the strategy in Rust",
    "pytest": "put tests into the folder tests/, which is not built",
    "unittest": "put tests into the folder tests/, which is not built",
    "zoneinfo": "datetime.timezone with a fixed offset; there are no files in the sandbox",
    "gc": "the collector is the sandbox's own business",
}

CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}


class Scan:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[dict] = []
        self.imports: set[str] = set()
        self.local = {path.stem for path in folder.glob("*.py")} | {
            path.name for path in folder.iterdir() if path.is_dir() and path.name not in SKIPPED_FOLDERS
        }

    def problem(self, path: Path, line: int, what: str, fix: str) -> None:
        """Notes one."""
        file = path.relative_to(self.folder).as_posix()
        self.problems.append({"file": file, "line": line, "what": what, "fix": fix})

    def file(self, path: Path) -> ast.Module | None:
        """Reads a file and looks at all that is in it."""
        try:
            tree = ast.parse(path.read_bytes(), filename=str(path))
        except SyntaxError as error:
            self.problem(path, error.lineno or 1, f"syntax error: {error.msg}", (error.text or "").strip())
            return None
        except ValueError as error:
            self.problem(path, 1, f"no Python source: {error}", "save it as UTF-8 text")
            return None
        for node in ast.walk(tree):
            self.node(path, node)
        return tree

    def node(self, path: Path, node: ast.AST) -> None:
        """Looks at one thing."""
        match node:
            case ast.Import(names=names):
                for name in names:
                    self.imported(path, node.lineno, name.name)
            case ast.ImportFrom(level=0, module=str(module), names=names):
                self.imported(path, node.lineno, module)
                for name in names:
                    if module == "random":
                        self.random(path, node.lineno, name.name)
            case ast.ImportFrom(module=module, names=names) if path.parent != self.folder:
                # Relative, inside of a package: what it names lies in the folder.
                pass
            case ast.ImportFrom():
                self.problem(path, node.lineno, "a relative import at the top", "import it by its name alone")
            case ast.Attribute(value=ast.Name(id="random"), attr=attr):
                self.random(path, node.lineno, attr)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="random"), attr="Random"), args=[], keywords=[]) | ast.Call(
                func=ast.Name(id="Random"), args=[], keywords=[]
            ):
                self.problem(path, node.lineno, "random.Random() without a seed", "random.Random(seed) draws the same in every replay")
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=attr)) if (
                owner,
                attr,
            ) in CLOCKS:
                self.problem(path, node.lineno, f"{owner}.{attr}() reads a clock", FIXES["time"])
            case ast.Call(func=ast.Name(id="__import__" | "breakpoint" | "input" as name)):
                self.problem(path, node.lineno, f"{name}() does not work in the sandbox", "do without it")

    def imported(self, path: Path, line: int, module: str) -> None:
        """Looks at an import."""
        top = module.partition(".")[0]
        if top in self.local:
            self.imports.add(module)
            return
        if top in CARRIED:
            self.imports.add(module)
            return
        if top in sys.stdlib_module_names:
            what = f"import of {module}: the sandbox does not carry it"
            fix = FIXES.get(top, "do without it; docs/guide/first-strategy-python.md lists what there is")
        else:
            what = f"import of {module}: it is neither in this folder nor in the standard library"
            fix = FIXES.get(top, f"copy it beside {ENTRY}, if it is plain Python")
        self.problem(path, line, what, fix)

    def random(self, path: Path, line: int, name: str) -> None:
        """Draws from the module's own generator differ from build to build."""
        if name != "Random":
            self.problem(path, line, f"random.{name} has no seed of its own", "random.Random(seed) draws the same in every replay")

    def strategy(self, path: Path, tree: ast.Module) -> str | None:
        """The one class that derives from `Strategy`, directly or by way of others, and that no other derives from."""
        known, used = {"Strategy"}, set()
        classes: dict[str, int] = {}
        for node in tree.body:
            match node:
                case ast.ImportFrom(module=module, names=names) if (module or "").partition(".")[0] in self.local:
                    # A base of the author's own: whatever it is called.
                    known.update(name.asname or name.name for name in names)
                case ast.ClassDef(name=name, bases=bases, lineno=line):
                    named = {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in bases}
                    if named & known:
                        known.add(name)
                        classes[name] = line
                        used |= named
        found = {name: line for name, line in classes.items() if name not in used}
        if len(found) == 1:
            return next(iter(found))
        if not found:
            self.problem(path, 1, "no strategy in it", "derive one class from pinion_strategy.Strategy: class Mine(Strategy)")
        else:
            first, *others = found.items()
            names = " and ".join(found)
            self.problem(path, others[-1][1], f"{len(found)} strategies: {names}", f"keep one of them in {ENTRY}, a folder is one strategy")
        return None


def sources(folder: Path) -> list[Path]:
    """Every Python file that becomes part of the component."""
    files = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        if not any(part in SKIPPED_FOLDERS or part.startswith(".") for part in parts):
            files.append(path)
    return files


def main() -> None:
    folder = Path(sys.argv[1])
    scan = Scan(folder)
    name = None
    for path in sources(folder):
        tree = scan.file(path)
        if tree is not None and path == folder / ENTRY:
            name = scan.strategy(path, tree)
    scan.problems.sort(key=lambda problem: (problem["file"], problem["line"]))
    json.dump({"problems": scan.problems, "strategy": name, "imports": sorted(scan.imports)}, sys.stdout)


main()
