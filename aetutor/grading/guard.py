"""What decides a verdict, remembered before any student's code runs, and compared around each test cell."""

import builtins
import contextlib
import sys
import types

# Everything in these packages that can be called must be what it was; new names do no harm.
PACKAGES = (
    "numpy", "aetutor", "IPython.core", "ipykernel", "traitlets", "jupyter_client.session",
    "torch.nn.functional", "torch.nn.modules", "torch.nn.init", "torch.nn.parameter", "torch.testing", "torch.linalg",
    "torch.distributions", "torch.fft", "torch.special", "torch.functional", "torch._tensor",
)  # fmt: skip
STANDARD = (
    "builtins", "math", "cmath", "operator", "statistics", "random", "copy", "functools", "itertools", "inspect",
    "ast", "codeop", "traceback", "hashlib", "hmac", "unittest.case", "collections", "numbers", "re", "types",
    "torch", "torch.nn", "torch.autograd", "torch.random", "torch.serialization",
)  # fmt: skip
PASSING = {
    "__slotnames__",
    "__annotations__",
    "__doc__",
    "__firstlineno__",
    "__static_attributes__",
}  # Python's own notes
# Wrapped by torch.compile; they decide nothing.
ALLOWED = {"torch.manual_seed", "torch.seed", "torch.initial_seed", "torch.nn.modules.module.Module.__init__",
           "torch.nn.modules.module.Module.__setstate__"}  # fmt: skip
CONSTANT = (float, int, str, tuple, frozenset, types.ModuleType)
OWN = (types.FunctionType, types.BuiltinFunctionType, type, types.MethodDescriptorType, types.WrapperDescriptorType)
EVENTS = ("matplotlib_inline", "matplotlib", "IPython", "ipykernel")  # whose callbacks may come later


class Guard:
    """Remembers at the start; `changed` names what has been replaced since then."""

    def __init__(self, kernel, strict=()):
        self._kernel, self._shell = kernel, kernel.shell
        self._modules, self._names, self._bodies, self._classes, self._keys = {}, [], [], [], []
        seen = set()
        # Libraries set variables of their own as they work; in what is small, a constant is guarded too.
        own = {name for name in strict if name.partition(".")[0] not in ("numpy", "torch", "aetutor")}
        exact = {"math", "cmath", "numpy", "aetutor.exercises", *own}
        for name, module in list(sys.modules.items()):
            inside = name in STANDARD or any(name == p or name.startswith(p + ".") for p in PACKAGES)
            fixed = name in exact or name.startswith("aetutor.exercises.")
            if not isinstance(module, types.ModuleType) or not (inside or fixed):
                continue
            self._modules[name] = module
            for attribute, value in list(vars(module).items()):
                if f"{name}.{attribute}" in ALLOWED:
                    continue
                if attribute.startswith("__") and attribute not in ("__import__", "__build_class__", "__getattr__"):
                    continue
                if (
                    isinstance(value, OWN)
                    or callable(value)
                    or (fixed and isinstance(value, CONSTANT) and not isinstance(value, bool))
                ):
                    self._names.append((vars(module), name, attribute, value))
                if callable(value) and not isinstance(value, type):
                    self._look_inside(f"{name}.{attribute}", value, seen)
                if isinstance(value, type) and id(value) not in seen and not _of(value, "torch.optim"):
                    seen.add(id(value))
                    self._remember(f"{name}.{attribute}", value, seen)
        self._tracing = sys.gettrace(), sys.getprofile()
        self._hooks = self._hooked()
        self._callbacks = {name: list(found) for name, found in self._shell.events.callbacks.items()}
        self._instances = [(o, type(o), frozenset(_overridden(o))) for o in self._watched()]
        self._bound = {}

    def _remember(self, name, kind, seen):
        """The attributes of a class that is written in Python; others cannot be changed."""
        if not kind.__flags__ & (1 << 9):  # Py_TPFLAGS_HEAPTYPE
            return
        for attribute, value in list(vars(kind).items()):
            if attribute in ("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__"):
                continue
            if f"{kind.__module__}.{kind.__qualname__}.{attribute}" in ALLOWED:
                continue
            call = value.__func__ if isinstance(value, staticmethod | classmethod) else value
            if callable(call) or isinstance(call, property):
                self._classes.append((kind, name, attribute, value))
            if callable(call) and not isinstance(call, type):
                self._look_inside(f"{name}.{attribute}", call, seen)
        self._keys.append((kind, name, frozenset(vars(kind))))

    def _look_inside(self, name, function, seen):
        """What a function runs: its code, and that of the functions which it wraps."""
        if id(function) in seen:
            return
        seen.add(id(function))
        if isinstance(function, types.FunctionType):
            self._bodies.append((name, function, _body(function)))
            inner = [*map(_content, function.__closure__ or ()), *(function.__defaults__ or ())]
        else:
            inner = []
        with contextlib.suppress(Exception):  # an object may do anything when it is asked
            inner.append(getattr(function, "__wrapped__", None))
        for part in inner:
            if isinstance(part, types.FunctionType):
                self._look_inside(name, part, seen)

    def _watched(self):
        shell, kernel = self._shell, self._kernel
        found = [shell, kernel, shell.displayhook, shell.display_pub, shell.compile, shell.events, kernel.session]
        return [*found, shell.input_transformer_manager, shell.builtin_trap, shell.display_trap]

    def _hooked(self) -> list[tuple[str, list]]:
        """Lists of hooks that take part in running a cell."""
        shell, manager = self._shell, self._shell.input_transformer_manager
        return [
            ("get_ipython().ast_transformers", [*shell.ast_transformers]),
            ("get_ipython().input_transformers_cleanup", [*manager.cleanup_transforms]),
            ("get_ipython().input_transformers", [*manager.line_transforms]),
            ("get_ipython().token_transformers", [*manager.token_transformers]),
            ("get_ipython().input_transformers_post", [*getattr(shell, "input_transformers_post", [])]),
            ("get_ipython().set_custom_exc", [*shell.custom_exceptions]),
            ("get_ipython().kernel.shell_handlers", [*self._kernel.shell_handlers.values()]),
        ]

    # --- Around a test cell -------------------------------------------------------------------------------------

    def changed(self) -> str | None:
        """What was replaced since the start, in words; None where nothing was."""
        for name, module in self._modules.items():
            if sys.modules.get(name) is not module:
                return f"sys.modules[{name!r}]"
        gone = object()
        for names, module, attribute, value in self._names:
            if names.get(attribute, gone) is not value:
                return attribute if module == "builtins" else f"{module}.{attribute}"
        for name, function, body in self._bodies:
            if not _same(_body(function), body):
                return name
        for kind, name, attribute, value in self._classes:
            if type.__getattribute__(kind, "__dict__").get(attribute) is not value:
                return f"{name}.{attribute}"
        for kind, name, keys in self._keys:
            own = type.__getattribute__(kind, "__dict__")
            if len(own) != len(keys):
                for new in set(own) - keys - PASSING:  # which may hide what the class inherits
                    if any(new in vars(base) for base in kind.__mro__[1:]):
                        return f"{name}.{new}"
        if (sys.gettrace(), sys.getprofile()) != self._tracing:
            return "sys.settrace or sys.setprofile"
        for (name, now), (_, before) in zip(self._hooked(), self._hooks, strict=True):
            if len(now) != len(before) or not all(map(_one, now, before)):
                return name
        for name, callbacks in self._shell.events.callbacks.items():
            for callback in callbacks:
                home = getattr(callback, "__module__", None) or ""
                if callback not in self._callbacks.get(name, ()) and home.partition(".")[0] not in EVENTS:
                    return f"get_ipython().events ({name})"
        for thing, kind, before in self._instances:
            if type(thing) is not kind:
                return f"the class of {kind.__name__}"
            if new := _overridden(thing) - before:
                return f"{kind.__name__}.{min(new)}"
        return None

    # --- Names --------------------------------------------------------------------------------------------------

    def bind(self, names) -> None:
        """Remembers what a locked cell has bound; test cells see it so, whatever it is called later."""
        self._bound |= {name: self._shell.user_ns[name] for name in names if name in self._shell.user_ns}

    def names_for_a_test(self, answers) -> dict:
        """A test cell's own names: the notebook's, except that what locked cells bound is put back, and that a name
        of Python's own, such as `len`, means what it says. Functions of the student keep the names they were made with.
        """
        own = {
            name: value
            for name, value in self._shell.user_ns.items()
            if name in answers or name.startswith("_") or not hasattr(builtins, name)
        }
        return own | self._bound | {"__builtins__": builtins}


def _of(kind: type, package: str) -> bool:
    """Whether a class is a package's, whatever module else has a name for it; torch.compile writes into optimizers."""
    return f"{kind.__module__}.".startswith(f"{package}.")


def _body(function) -> tuple:
    cells = function.__closure__ or ()
    return function.__code__, function.__defaults__, function.__kwdefaults__, tuple(map(_content, cells))


def _content(cell):
    try:
        held = cell.cell_contents
    except ValueError:
        return None
    return held if isinstance(held, OWN) else None  # counters and caches change by themselves


def _same(one: tuple, other: tuple) -> bool:
    code, defaults, named, cells = one
    return (
        code is other[0]
        and defaults is other[1]
        and named is other[2]
        and len(cells) == len(other[3])
        and all(a is b for a, b in zip(cells, other[3], strict=True))
    )


def _one(now, before) -> bool:
    """Whether two hooks are the same; a bound method is made anew whenever it is asked for."""
    return now is before or (type(now) is type(before) is types.MethodType and now == before)


def _overridden(thing) -> set[str]:
    """Methods that an instance has of its own."""
    own = getattr(thing, "__dict__", {})
    return {name for name in own if callable(getattr(type(thing), name, None))}
