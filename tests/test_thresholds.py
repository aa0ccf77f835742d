"""Thresholds are written so that NaN fails them: the code is read, and the other form is refused.

Every order comparison with a NaN is false.  So ``if error > eps: raise`` lets a NaN pass, and
``if not error <= eps: raise`` does not.  A comparison *decides* where

    refusal   its truth leads to one: the test of an `if` whose body raises, fails or returns None
              or False; a name, or a function that returns it, that says so (`REFUSALS`); a count
              of what is larger than a limit;
    claim     its truth is asserted, or returned by any other function to bool.

Through `not`, `~`, `and`, `or`, `any` and `all` one follows whether the comparison stands there as
it is or negated.  As it is in a refusal, or negated in a claim, it lets a NaN pass.  Integers have
no NaN: a comparison of two expressions that are integers by their form or by their annotations is
left alone; there is no other exception.
"""

import ast
from dataclasses import dataclass, field
from pathlib import Path

import flint
import pytest
from enclosures import may_be_at_least, may_be_at_most
from trees import tree_of

ROOT = Path(__file__).parents[1]
FILES = sorted(
    p for name in ("theory", "proofs", "tests", "examples") for p in (ROOT / name).rglob("*.py")
)

ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)

#: Parts of names that say a refusal.
REFUSALS = (
    "bad", "contradicted", "diverged", "exceed", "fail", "refuted", "suspect", "violat", "wrong",
)  # fmt: skip

#: Calls whose truth, or number of entries, is that of the comparison inside.
THROUGH = {"all", "any", "argwhere", "array", "asarray", "bool", "flatnonzero", "nonzero"}

#: Calls that count the entries in which a comparison is true.
COUNTS = {"count_nonzero", "sum"}

INTEGER_CALLS = {"argmax", "argmin", "bit_length", "count_nonzero", "index", "int", "isqrt", "len"}
INTEGER_ATTRIBUTES = {"itemsize", "nbytes", "ndim", "size"}
INTEGER_TYPES = {"int", "int | None", "SupportsIndex", "tuple[int, ...]", "tuple[int, int]"}


def name_of(node):
    """Return the last part of a dotted name, "" of what has none."""
    return getattr(node, "attr", getattr(node, "id", ""))


# ------------------------------------------------------------------------------ what is an integer


def declared(trees):
    """Return the names of attributes, functions and constants that are integers wherever made."""
    found = {}

    def add(name, yes):
        found[name] = found.get(name, True) and yes

    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                add(node.name, node.returns is not None and typed(node.returns))
            elif isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.AnnAssign):
                        add(name_of(item.target), typed(item.annotation))
        for node in tree.body:
            if isinstance(node, ast.Assign) and name_of(node.targets[0]).isupper():
                add(name_of(node.targets[0]), is_integer(node.value, {}))
    return {name for name, yes in found.items() if yes and name}


def typed(annotation):
    """Return whether an annotation is one of integers."""
    return ast.unparse(annotation) in INTEGER_TYPES


def is_integer(node, known):
    """Return whether an expression is an integer, or some, by its form."""
    match node:
        case ast.Constant(value=value):
            return isinstance(value, int)
        case ast.Name(id=name):
            return name in known
        case ast.Attribute(attr=name):
            return name in INTEGER_ATTRIBUTES or name in known
        case ast.UnaryOp(operand=operand):
            return is_integer(operand, known)
        case ast.BinOp(left=left, op=op, right=right):
            whole = not isinstance(op, ast.Div) and not (
                isinstance(op, ast.Pow) and isinstance(right, ast.UnaryOp)
            )
            return whole and is_integer(left, known) and is_integer(right, known)
        case ast.Subscript(value=ast.Attribute(attr="shape")):
            return True
        case ast.Subscript(value=value):
            return is_integer(value, known)
        case ast.GeneratorExp(elt=one) | ast.NamedExpr(value=one):
            return is_integer(one, known)
        case ast.IfExp(body=one, orelse=other):
            return is_integer(one, known) and is_integer(other, known)
        case ast.Call(func=func, args=args):
            name = name_of(func)
            if name in ("abs", "max", "min", "prod", "sum"):
                return bool(args) and all(is_integer(one, known) for one in args)
            return name in INTEGER_CALLS or name in known
    return False


def locals_of(function, known):
    """Return the known names with those that are integers inside a function."""
    made, other = set(), set()
    arguments = function.args
    for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        yes = one.annotation is not None and typed(one.annotation)
        (made if yes else other).add(one.arg)
    assigned = []
    for node in ast.walk(function):
        match node:
            case (
                ast.For(target=target, iter=ast.Call(func=ast.Name(id="range")))
                | ast.comprehension(target=target, iter=ast.Call(func=ast.Name(id="range")))
            ):
                assigned.append((target, ast.Constant(0)))
            case ast.For(
                target=ast.Tuple(elts=[target, *_]), iter=ast.Call(func=ast.Name(id="enumerate"))
            ):
                assigned.append((target, ast.Constant(0)))
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if not isinstance(target, ast.Tuple):
                        assigned.append((target, value))
                    elif isinstance(value, ast.Tuple):
                        assigned += zip(target.elts, value.elts, strict=False)
                    else:  # n, m = A.shape
                        shape = isinstance(value, ast.Attribute) and value.attr == "shape"
                        one = ast.Constant(0 if shape else 0.0)
                        assigned += ((element, one) for element in target.elts)
            case (
                ast.AnnAssign(target=target, value=value)
                | ast.NamedExpr(target=target, value=value)
                | ast.AugAssign(target=target, value=value)
            ) if value is not None:
                assigned.append((target, value))
    names = {t.id for t, _ in assigned if isinstance(t, ast.Name)}
    made |= names - other
    # what is assigned anything else is dropped, and then what rests on it
    before = None
    while before != made:
        before = set(made)
        inside = (known - names - other) | made
        for target, value in assigned:
            if isinstance(target, ast.Name) and not is_integer(value, inside):
                made.discard(target.id)
    return (known - names - other) | made


# --------------------------------------------------------------------------- what is a threshold


def comparisons(node, negated=False):
    """Yield the order comparisons that decide a truth value, each with whether it is negated."""
    match node:
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=one):
            yield from comparisons(one, not negated)
        case ast.BoolOp(values=several):
            for one in several:
                yield from comparisons(one, negated)
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr(), right=right):
            yield from comparisons(left, negated)
            yield from comparisons(right, negated)
        case ast.Call(func=func, args=args) if name_of(func) in THROUGH:
            inside = func.value if isinstance(func, ast.Attribute) else None
            for one in (inside, *args[:1]):
                if one is not None:
                    yield from comparisons(one, negated)
        case ast.GeneratorExp(elt=one) | ast.ListComp(elt=one) | ast.NamedExpr(value=one):
            yield from comparisons(one, negated)
        case ast.Subscript(value=one):
            yield from comparisons(one, negated)
        case ast.Compare(ops=ops) if any(isinstance(op, ORDER) for op in ops):
            yield node, negated


def refuses(body):
    """Return whether a branch raises, fails a test, or answers None or False."""
    for node in body:
        match node:
            case ast.Raise():
                return True
            case ast.Return(value=ast.Constant(value=value)) if value is None or value is False:
                return True
            case ast.Expr(value=ast.Call(func=func)) if name_of(func) in ("_fail", "fail"):
                return True
            case ast.Assign(value=ast.Attribute(attr="REFUTED")):
                return True
            case ast.For(body=inner) | ast.With(body=inner) if refuses(inner):
                return True
    return False


def says_refusal(name):
    """Return whether a name says that something is refused."""
    return any(word in name.lower() for word in REFUSALS)


@dataclass
class Reader(ast.NodeVisitor):
    """Collects the thresholds of a file that a NaN passes."""

    known: set
    found: list = field(default_factory=list)
    function: ast.FunctionDef | None = None

    def keep(self, node, *, refusal):
        """Keep the comparisons of a decision that let a NaN pass."""
        for one, negated in comparisons(node):
            sides = [one.left, *one.comparators]
            if negated is not refusal and not all(is_integer(s, self.known) for s in sides):
                self.found.append((one.lineno, ast.unparse(one)))

    def visit_FunctionDef(self, node):
        """Read a function with its own integers."""
        outer = self.known, self.function
        self.known, self.function = locals_of(node, self.known), node
        self.generic_visit(node)
        self.known, self.function = outer

    def visit_If(self, node):
        """Read a test whose branch refuses."""
        if refuses(node.body):
            self.keep(node.test, refusal=True)
        self.generic_visit(node)

    def visit_Assert(self, node):
        """Read a claim."""
        self.keep(node.test, refusal=False)
        self.generic_visit(node)

    def visit_Return(self, node):
        """Read the answer of a function to bool."""
        made = self.function
        if node.value is not None and made is not None and made.returns is not None:
            if says_refusal(made.name):
                self.keep(node.value, refusal=True)
            elif ast.unparse(made.returns) == "bool":
                self.keep(node.value, refusal=False)
        self.generic_visit(node)

    def visit_Assign(self, node):
        """Read a name that says a refusal."""
        if says_refusal(name_of(node.targets[0])):
            self.keep(node.value, refusal=True)
        self.generic_visit(node)

    def visit_Call(self, node):
        """Read a count of what is larger than a limit; 0 is a sign and no limit."""
        if name_of(node.func) in COUNTS:
            inside = node.func.value if isinstance(node.func, ast.Attribute) else None
            for counted in (inside, *node.args[:1]):
                match counted:
                    case ast.Compare(ops=[ast.Gt() | ast.GtE()], comparators=[limit]):
                        if not (isinstance(limit, ast.Constant) and limit.value == 0):
                            self.keep(counted, refusal=True)
        self.generic_visit(node)


def thresholds(source, known=frozenset()):
    """Return line and text of each threshold of a program, or its tree, that a NaN passes."""
    tree = ast.parse(source) if isinstance(source, str) else source
    reader = Reader(set(known) | declared([tree]))
    reader.visit(tree)
    return sorted(set(reader.found))


@pytest.fixture(scope="module")
def known():
    """Return the names that are integers in all of the package."""
    return declared(tree_of(p) for p in FILES)


@pytest.mark.parametrize("folder", sorted({str(p.parent.relative_to(ROOT)) for p in FILES}))
def test_a_nan_fails_every_threshold(folder, known):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text} lets a NaN pass"
        for path in FILES
        if path.parent == ROOT / folder
        for line, text in thresholds(tree_of(path), known)
    ]
    assert not found, "\n".join(
        [*found, "turn it round: `if not error <= eps: raise`, `~(errors <= eps)`"]
    )


DANGEROUS = """
if error > eps: raise ValueError
if x.error >= 0.5 or y: raise ValueError
if np.any(errors > eps): raise ValueError
if (errors > eps).any() and also: return_later = 1; raise ValueError
if not (low <= x and ~(y > high)).all(): raise ValueError
if any(abs(a) > b for a in c): raise ValueError
if (size := norm(x)) > 1e10: raise ValueError
if x < 0: raise ValueError
if error > eps: pytest.fail("no")
if value - decided > spare: outcome = Outcome.REFUTED
assert not (measured > bound).any()
assert not error > eps
assert a and not np.any(np.abs(x) >= 1)
suspect = bool((excess > total).any())
failing = np.flatnonzero(upper > probability)
seen = np.count_nonzero(errors > eps, axis=1)
seen = (errors > eps).sum()
def f(x: float) -> int | None:
    if x > 1: return None
def f(x: float) -> bool:
    if x * 2 > 1: return False
def contradicted(x) -> bool: return bool((x > 1).any())
def within(x) -> bool: return not (x > 1).any()
""".strip()

SAFE = """
if not error <= eps: raise ValueError
if not (errors <= eps).all(): raise ValueError
if (~(errors <= eps)).any(): raise ValueError
if len(x) > 3: raise ValueError
if x.shape[0] < 2 * y.ndim: raise ValueError
if x == eps: raise ValueError
if x > eps: y = 1
assert (measured <= bound).all()
assert not list(x)
assert any(x > 0 for x in y)
failing = np.flatnonzero(~(upper <= probability))
seen = np.count_nonzero(~(errors <= eps), axis=1)
seen = np.count_nonzero(promise > 0)
def f(k: int, h: int | None, A) -> int | None:
    n, m = A.shape
    if k > n or h >= m + 1: return None
def f(x: float) -> bool:
    for i in range(3):
        if i > len(x): return False
def contradicted(x) -> bool: return not (x <= 1).all()
def within(x) -> bool: return bool((x <= 1).all())
""".strip()


def programs(text):
    """Return the programs of a text: one line, or one `def` with the lines indented under it."""
    found = []
    for line in text.splitlines():
        if line.startswith(" "):
            found[-1] += "\n" + line
        else:
            found.append(line)
    return found


@pytest.mark.parametrize("program", programs(DANGEROUS))
def test_a_planted_threshold_is_found(program):
    assert thresholds(program), program


#: Lines of the package, and how they read the other way round; the first one once was so.
TURNED = (
    (
        "measure/effective_memory.py",
        "np.count_nonzero(~(row <= eps))",
        "np.count_nonzero(row > eps)",
    ),
    (
        "measure/effective_memory.py",
        "np.flatnonzero(~(upper <= probability))",
        "np.flatnonzero(upper > probability)",
    ),
    ("trials/verdict.py", "not larger - smaller <= spare", "larger - smaller > spare"),
    ("trials/verdict.py", "not bool((excess <= total).all())", "bool((excess > total).any())"),
    ("errors.py", "not _check_real(name, value) > 0", "_check_real(name, value) <= 0"),
    ("testing/truncation.py", "not (gaps <= budget", "(gaps > budget"),
    ("certify/refute.py", "if not bound >= 1:", "if bound < 1:"),
    ("memory/tails.py", "if not float(np.max(size)) < 1:", "if float(np.max(size)) >= 1:"),
)


@pytest.mark.parametrize(("name", "line", "turned"), TURNED, ids=[t for *_, t in TURNED])
def test_a_line_of_the_package_turned_round_is_found(name, line, turned, known):
    source = (ROOT / "theory" / name).read_text(encoding="utf-8")
    assert line in source
    assert not thresholds(source, known)
    assert thresholds(source.replace(line, turned), known)


@pytest.mark.parametrize("program", programs(SAFE))
def test_the_form_in_which_a_nan_fails_is_let_through(program):
    assert not thresholds(program), program


def test_a_name_that_is_also_something_else_is_no_integer():
    assert thresholds("def f(k: int):\n    k = k / 2\n    if k > n: raise ValueError")
    assert thresholds("def f(A):\n    n, m = solve(A)\n    if n > 1: raise ValueError")
    assert thresholds("def f(A):\n    n = len(A)\n    m = 0.5 * n\n    if m > 1: raise ValueError")
    assert thresholds("def f(x, n: int):\n    if n > x: raise ValueError")
    assert not thresholds("LARGEST = 2**20\ndef f(n: int):\n    if n > LARGEST: raise ValueError")
    assert thresholds("LARGEST = 2.0**20\ndef f(n: int):\n    if n > LARGEST: raise ValueError")


def test_enclosures_leave_possible_what_they_do_not_exclude_and_no_nan():
    one, two, nan = flint.arb(1), flint.arb(2), flint.arb("nan")
    about = flint.arb(1.5, 1.0)
    assert may_be_at_most(one, two)
    assert may_be_at_most(one, one)
    assert not may_be_at_most(two, one)
    for x in (one, two, about):
        assert may_be_at_most(x, about)
        assert may_be_at_least(x, about)
        assert may_be_at_most(x, flint.arb("inf"))
        assert not may_be_at_most(x, nan)
        assert not may_be_at_least(nan, x)
    assert not may_be_at_most(nan, nan)
