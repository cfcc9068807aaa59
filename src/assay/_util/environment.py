"""Chooses what a process that Assay starts is told by its environment: what is on a list, and nothing else.

The environment of a shell can name what is being audited: the folder one works in, where results go, where keys lie. A
process that plays audits needs none of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from assay.errors import InvalidInput

MORE = "ASSAY_PASS_ENV"
_OWN = frozenset(
    {"ASSAY_DEVICES", "ASSAY_DTYPE", "ASSAY_EXPLORER", "ASSAY_HOME", "ASSAY_SANDBOX", "ASSAY_THREADS", MORE}
)
_PATHS = frozenset(
    {"ASSAY_EXPLORER", "ASSAY_HOME", "ASSAY_KEYS", "ASSAY_SUITES"}
)  # a worker has another working folder
_SYSTEM = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "LANG", "LANGUAGE", "NO_COLOR"),
        *("TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "MALLOC_ARENA_MAX"),
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA"),
        *("VIRTUAL_ENV", "CONDA_PREFIX"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)
_PYTHON = frozenset(
    {
        *("PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONWARNINGS"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONFAULTHANDLER", "PYTHONMALLOC", "PYTHONOPTIMIZE"),
        *("PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONUNBUFFERED"),
    }
)
_PATTERNS = re.compile(
    "|".join(
        (
            r"LC_\w+",
            # what computes: torch and its libraries, and what decides their threads
            r"(TORCH|PYTORCH|CUDA|CUDNN|CUBLAS|NVIDIA|NCCL|HIP|ROCR|ROCM|HSA|TRITON)_\w+",
            r"(OMP|GOMP|KMP|MKL|ONEDNN|DNNL|OPENBLAS|BLIS|VECLIB|NUMEXPR|TBB|ATEN)_\w+",
            # where checkpoints come from
            r"(HF|HUGGINGFACE|TRANSFORMERS|TOKENIZERS|SAFETENSORS)_\w+",
            # Inspect's settings, but none that name a folder of logs or an evaluation
            r"INSPECT_(DISPLAY|LOG_LEVEL\w*|CACHE_DIR|TELEMETRY|API_KEY_OVERRIDE|REQUIRED_HOOKS|HTTP_\w+)",
            r"INSPECT_(SANDBOX|SUBPROCESS|DOCKER|DISABLE)_\w+|INSPECT_EVAL_(MAX|MODEL)_\w+",
            r"(DOCKER|COMPOSE|BUILDKIT|KUBE)_\w+|KUBECONFIG",
        )
    )
)
# Who is asked: keys and addresses of models, and the clouds some of them live in. A process that audits gets those of
# the providers it asks and no others.
_OF_PROVIDERS = re.compile(
    r"\w+_(API_KEY|API_TOKEN|AUTH_TOKEN|AD_TOKEN|BASE_URL|API_VERSION)"
    r"|(AWS|AZURE|AZUREAI|GOOGLE|VERTEX|ANTHROPIC|OPENAI|CLOUDFLARE|BEDROCK|GCLOUD|CLOUDSDK)_\w+"
)
_PREFIXES = {  # provider → what its variables begin with, where that is not its name in capitals
    "azureai": ("AZUREAI_", "AZURE_"),
    "anthropic": ("ANTHROPIC_", "AWS_", "VERTEX_", "GOOGLE_", "AZUREAI_"),  # `anthropic/bedrock/…`, `…/vertex/…`
    "bedrock": ("AWS_", "BEDROCK_"),
    "cf": ("CLOUDFLARE_",),
    "google": ("GOOGLE_", "GEMINI_", "VERTEX_", "GCLOUD_", "CLOUDSDK_"),
    "grok": ("GROK_", "XAI_"),
    "hf-inference-providers": ("HF_",),
    "openai": ("OPENAI_", "AZUREAI_", "AZURE_"),
    "vertex": ("GOOGLE_", "VERTEX_", "GCLOUD_", "CLOUDSDK_"),
}
_SECRET = re.compile(r"\w*(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)\w*")
_NAMED = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<more>\*?)")


def environment_of_worker(also: Collection[str] = (), models: Collection[str] | None = None) -> dict[str, str]:
    """Gathers the variables that a process of Assay's is started with.

    Args:
        also: names of Assay's own variables that this kind of process needs besides those of an engine.
        models: names of the models behind Inspect that it asks (`openai/gpt-…`); it gets keys and addresses of their
            providers and of no others. None for a process that may ask any.

    Returns:
        Name → value. Paths in Assay's own variables are absolute, since the process works in another folder.

    Raises:
        InvalidInput: `ASSAY_PASS_ENV` lists what is no name of a variable, or one of Assay's own.
    """
    further = _further()
    chosen: dict[str, str] = {}
    for name, value in os.environ.items():
        if name.startswith("ASSAY_"):
            wanted = name in _OWN or name in also
        else:
            known = name in _SYSTEM or name in _PYTHON or _PATTERNS.fullmatch(name) or _asked(name, models)
            wanted = bool(known or (further and further.fullmatch(name)))
        if wanted:
            chosen[name] = value
    for name in _PATHS & chosen.keys():
        chosen[name] = _absolute(chosen[name])
    if "PYTHONPATH" in chosen:
        chosen["PYTHONPATH"] = _without_working_folder(chosen["PYTHONPATH"])
    return chosen


def is_secret(name: str) -> bool:
    """Tells whether a variable of this name holds a key or something like it."""
    return bool(_SECRET.fullmatch(name.upper()))


def _asked(name: str, models: Collection[str] | None) -> bool:
    """Tells whether a variable is of a provider whose models are asked."""
    if models is None:
        return bool(_OF_PROVIDERS.fullmatch(name))
    for model in models:
        provider, _, rest = model.partition("/")
        service = rest.partition("/")[0] if provider == "openai-api" else provider  # `openai-api/SERVICE/MODEL`
        capitals = re.sub(r"\W", "_", service).upper() + "_"
        if name.startswith(_PREFIXES.get(service, (capitals,))):
            return True
    return False


def _further() -> re.Pattern[str] | None:
    """Reads which further variables a person lets through."""
    given = os.environ.get(MORE, "").strip()
    if not given:
        return None
    patterns: list[str] = []
    for text in given.split(","):
        found = _NAMED.fullmatch(text.strip())
        if found is None or found["name"].startswith("ASSAY_"):
            raise InvalidInput(
                f"{MORE} is {given!r}, which may not name {text.strip()!r}. Give names of variables, with commas "
                f"between them, each with a * at its end or without (MY_KEY,MY_TOOL_*); none of Assay's own."
            )
        patterns.append(found["name"] + (r"\w*" if found["more"] else ""))
    return re.compile("|".join(patterns))


def _absolute(paths: str) -> str:
    """Makes each path of a list absolute; an empty one stays out."""
    return os.pathsep.join(str(Path(path).absolute()) for path in paths.split(os.pathsep) if path)


def _without_working_folder(paths: str) -> str:
    """Leaves the folder a person happens to stand in out of a search path: a file there must not pass for a library."""
    kept = [path for path in _absolute(paths).split(os.pathsep) if path and Path(path).resolve() != Path.cwd()]
    return os.pathsep.join(kept)
