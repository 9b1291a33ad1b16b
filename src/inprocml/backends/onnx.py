"""ONNX Runtime, on the CPU or an NVIDIA GPU.

Everything this runtime does to its host unless told otherwise is told otherwise here: telemetry (from 1.29
it starts a thread at import that hangs every forked worker at exit), pools sized from the machine's cores,
a silent fall back from the GPU to the CPU, fallback messages on stdout and log lines on stderr.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

from inprocml.backends.audit import audit_model
from inprocml.backends.checks import check_device, check_threads
from inprocml.backends.locks import ProcessLock
from inprocml.backends.onnx_providers import Wish, first_of, placed, providers
from inprocml.backends.onnx_versions import check_versions
from inprocml.backends.threads import thread_budget
from inprocml.errors import BackendFailed, BackendMissing, Corrupt, Unsupported
from inprocml.values import Tensors

__all__ = ["OnnxBackend", "import_runtime"]

_FATAL = 4  # ONNX Runtime's severity scale; everything else it has to say arrives as an exception

_FOLDED: Final = 256 << 20

_creating = ProcessLock()  # session creation is not safe beside another one in every provider


def _keep(thing: object) -> None:
    """Keep ``thing`` for ever: one reference more than will ever be given back."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


class OnnxBackend:
    """One ONNX model in one ONNX Runtime session.

    ``device="cuda"``, ``"cuda:1"`` and ``"tensorrt"`` are demands: ``BackendMissing`` if the session would
    run elsewhere; ``"auto"`` takes the best there is, and ``.device`` says which. ``wish`` says more than
    ``device``, and is taken instead. ``threads`` is the size of the intra-op pool, by default
    ``thread_budget()``. ``allow_loops`` lets the model hold ``Loop``, ``Scan`` and ``If``. Raises
    ``Corrupt``, ``Untrusted`` (the model points at other files, may run for ever or fill the memory) and
    ``Unsupported`` (versions, operators or outputs that this runtime cannot serve). ``mixes`` says whether
    an operator takes one scale from a whole batch (dynamic quantisation): rows are not alone there.
    """

    name = "onnx"

    def __init__(
        self,
        model: bytes,
        *,
        device: str = "cpu",
        threads: int | None = None,
        allow_loops: bool = False,
        wish: Wish | None = None,
    ) -> None:
        self._pid = os.getpid()
        wish = wish or Wish(device)
        check_device(wish.device)
        check_threads(threads)
        audited = audit_model(model, allow_loops=allow_loops)
        self.mixes = audited.mixes
        with _creating:
            runtime = import_runtime()
            wanted = _wanted(runtime, wish)
            check_versions(runtime, audited.ir_version, audited.opsets)
            limit = _fold_limit(len(model), audited.foldable)
            session = _open_session(runtime, model, wanted, threads or thread_budget(), limit)
        self.device = placed(session.get_providers()[0], wish.device)
        self.inputs = tuple(node.name for node in session.get_inputs())
        outputs = {node.name: node.type for node in session.get_outputs()}
        self._names = list(outputs)
        fault = _fault(wish.device, self.device, outputs)
        if fault is not None:
            # Not left to the traceback: what waits there for the garbage collector may be freed in a forked
            # child, and to free a session there hangs.
            del session
            raise fault
        self._session: Any = session

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs, in its order."""
        return tuple(self._names)

    @property
    def session(self) -> Any:
        """The ONNX Runtime session; ``None`` once closed. Not to be kept: see ``close``."""
        return self._session

    def run(self, inputs: Tensors) -> Tensors:
        """Compute one batch; what ONNX Runtime raises is let through."""
        if self._session is None:
            raise BackendFailed("the onnx backend is closed; open a new one")
        names = self._names
        try:  # no name for the session here: the traceback of an error would keep it beyond close()
            return dict(zip(names, self._session.run(names, inputs), strict=False))
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # ONNX Runtime's own frames name it too
            raise

    def close(self) -> None:
        """Free the session; one inherited through a fork is kept instead, for freeing it would hang."""
        self._keep_inherited()
        self._session = None

    def __del__(self) -> None:
        self._keep_inherited()

    def _keep_inherited(
        self, getpid: Callable[[], int] = os.getpid, keep: Callable[[object], None] = _keep
    ) -> None:
        """In a forked child, let nothing ever free the session: not the collector, not the interpreter's end.

        Its threads are the parent's; joining them hangs for ever (onnxruntime 1.20 to 1.31). Bound as
        defaults, the names survive the clearing of modules at shutdown.
        """
        session = getattr(self, "_session", None)
        if session is not None and getpid() != self._pid:
            keep(session)


def _fault(wanted: str, device: str, outputs: dict[str, str]) -> Exception | None:
    """Say why this session cannot serve: another device than demanded, or an output that is no tensor."""
    if wanted not in {"auto", device, device.partition(":")[0]}:
        return _not_there(wanted)
    for name, kind in outputs.items():
        if not kind.startswith("tensor("):
            return Unsupported(
                f"output {name!r} of the ONNX model is {kind}, and only tensors are served; "
                "export without ZipMap (skl2onnx: options={'zipmap': False}) and pack it again"
            )
    return None


def import_runtime() -> Any:
    """Import onnxruntime, quietly; refuse an installation that cannot work."""
    installed = {name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)}
    if len(installed) == 2:
        raise BackendMissing(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; repair:\n"
            "    pip uninstall --yes onnxruntime onnxruntime-gpu\n"
            "    pip install 'inprocml[gpu]'      # or 'inprocml[cpu]' on a machine without an NVIDIA GPU"
        )
    first = "onnxruntime" not in sys.modules
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at import only
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendMissing(
            "ONNX Runtime cannot be imported; pip install 'inprocml[cpu]', "
            "or 'inprocml[gpu]' on Linux x86-64 or Windows with an NVIDIA GPU"
        ) from error
    if first:  # otherwise the host imported it and owns its logger
        onnxruntime.set_default_logger_severity(_FATAL)
    return onnxruntime


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _wanted(runtime: Any, wish: Wish) -> list[Any]:
    """Choose the providers to ask for; a provider this build does not have is refused here, by name."""
    available = set(runtime.get_available_providers())
    if wish.device != "auto" and first_of(wish.device) not in available:
        raise _not_there(wish.device)
    return providers(available, wish)


def _fold_limit(size: int, foldable: int) -> int:
    """Bytes that one node computed at load may make: of all together, some times what the file has.

    What is beyond it is computed in every run instead, where the golden rows tell what it costs. Known to
    onnxruntime since its pull request 28055; before it, the audit stands alone.
    """
    return (_FOLDED + 4 * size) // max(1, foldable)


def _open_session(runtime: Any, model: bytes, wanted: list[Any], threads: int, limit: int) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = (
        runtime.ExecutionMode.ORT_SEQUENTIAL
    )  # the parallel one spins for ever after a fork
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the host's cores are not ours
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(limit))
    try:
        session = runtime.InferenceSession(
            model, options, providers=wanted, enable_fallback=0, read_config_from_model=0
        )
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # they hold the half-made session
        raise _refused(error) from error
    # Kept by onnxruntime to fall back to other providers, which is refused here: a second copy of the model.
    session._model_bytes = None  # noqa: SLF001
    return session


def _refused(error: Exception) -> Exception:
    """Sort ONNX Runtime's reasons: what a newer runtime would take is Unsupported, the rest is Corrupt."""
    text = str(error)
    newer = (
        "Unsupported model IR version",
        "opset",
        "is not a registered function/op",
        "No Op registered for",
    )
    if type(error).__name__ == "NotImplemented" or any(sign in text for sign in newer):
        return Unsupported(
            "this ONNX Runtime cannot run the model (operator set, IR version or operator is unknown to it); "
            "upgrade onnxruntime, or export for an older opset; see the cause"
        )
    if "CUDA" in text or "Tensorrt" in text:
        return BackendMissing("the GPU refused the model; check driver, CUDA and free memory, see the cause")
    return Corrupt("ONNX Runtime cannot read the model; fetch or pack it again, see the cause")


def _not_there(device: str) -> BackendMissing:
    return BackendMissing(
        f"device={device!r} was asked for and ONNX Runtime would run on the CPU; check `nvidia-smi`, "
        "pip install 'inprocml[gpu]' (and uninstall onnxruntime), make CUDA and cuDNN loadable "
        "(`import torch` or `onnxruntime.preload_dlls()` before the model loads), or use device='cpu'"
    )
