"""Every name inprocml gives to OpenTelemetry, in one place.

There is no semantic convention for non-generative inference yet (semantic-conventions#3420), so the names
live under ``inprocml.*``; a later rename is one edit here. ``error.type`` is the stable convention.
"""

from __future__ import annotations

from importlib import metadata
from typing import Final

SCOPE: Final = "inprocml"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The release of the semantic conventions whose names are used: ``error.type``, ``feature_flag.*``."""

PREDICTION_DURATION: Final = "inprocml.prediction.duration"
QUEUE_DURATION: Final = "inprocml.prediction.queue.duration"
INFERENCE_DURATION: Final = "inprocml.inference.duration"
BATCH_SIZE: Final = "inprocml.inference.batch.size"
REJECTIONS: Final = "inprocml.rejections"
LOAD_DURATION: Final = "inprocml.model.load.duration"
LOADED: Final = "inprocml.model.loaded"
REFUSED: Final = "inprocml.model.refused"
STALE: Final = "inprocml.model.stale"
DECISIONS: Final = "inprocml.rollout.decisions"
SHARE: Final = "inprocml.rollout.share"

OBSERVATIONS: Final = "inprocml.feature.observations"
REFERENCE_RATIO: Final = "inprocml.feature.reference.ratio"
DRIFT_SCORE: Final = "inprocml.drift.score"
DRIFT_SAMPLES: Final = "inprocml.drift.samples"
DRIFT_WINDOW: Final = "inprocml.drift.window"
ACTIVE: Final = "inprocml.prediction.active"
MEMORY_USAGE: Final = "inprocml.model.memory.usage"
DISAGREEMENT: Final = "inprocml.shadow.disagreement.ratio"
QUEUE_USAGE: Final = "inprocml.queue.usage"
QUEUE_LIMIT: Final = "inprocml.queue.limit"
FEEDBACKS: Final = "inprocml.feedbacks"
FEEDBACK_DELAY: Final = "inprocml.feedback.delay"
QUALITY_SCORE: Final = "inprocml.quality.score"
MONITORING_ROWS: Final = "inprocml.monitoring.rows"
MONITORING_CPU: Final = "inprocml.monitoring.cpu.time"
MONITORING_LAG: Final = "inprocml.monitoring.lag"

MODEL_NAME: Final = "inprocml.model.name"
MODEL_VERSION: Final = "inprocml.model.version"
MODEL_DIGEST: Final = "inprocml.model.digest"
RUNTIME_NAME: Final = "inprocml.runtime.name"
DEVICE: Final = "inprocml.device"
ROLLOUT: Final = "inprocml.rollout"  # live | canary | shadow
LOAD_TRIGGER: Final = "inprocml.load.trigger"  # first_use | watch | reload | rollout | evicted
DECISION: Final = "inprocml.rollout.decision"  # begin | advance | finish | roll_back | shift | withdraw
REJECTION_REASON: Final = "inprocml.rejection.reason"
FEATURE_NAME: Final = "inprocml.feature.name"
FEATURE_ROLE: Final = "inprocml.feature.role"  # input | output
FEATURE_BIN: Final = "inprocml.feature.bin"
DRIFT_REFERENCE: Final = "inprocml.drift.reference"  # train | live
DRIFT_SCOPE: Final = "inprocml.drift.scope"  # worker | host: whose rows a score rests on
DRIFT_METRIC: Final = "inprocml.drift.metric"
MEMORY_TYPE: Final = "inprocml.memory.type"  # host | device
MEMORY_PART: Final = "inprocml.memory.part"  # model | monitoring
SHADOW_VERSION: Final = "inprocml.shadow.version"
PREDICTION_ID: Final = "inprocml.prediction.id"
BATCH_ID: Final = "inprocml.batch.id"
ROWS_IN_BATCH: Final = "inprocml.batch.rows"
UNLINKED: Final = "inprocml.batch.unlinked"
FEEDBACK_RESULT: Final = "inprocml.feedback.result"  # matched | unmatched | duplicate | invalid | failed
QUALITY_METRIC: Final = "inprocml.quality.metric"
ROW_STATE: Final = "inprocml.row.state"  # counted | sampled_out | dropped | failed
ERROR_TYPE: Final = "error.type"

FLAG_EVALUATION: Final = "feature_flag.evaluation"  # an event of the semantic conventions, as its attributes
FLAG_KEY: Final = "feature_flag.key"
FLAG_VARIANT: Final = "feature_flag.result.variant"
FLAG_PROVIDER: Final = "feature_flag.provider.name"

SECONDS: Final = (
    0.00005,
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)
"""Bucket boundaries for request-path durations: a small model answers in tens of microseconds."""

DELAYS: Final = (60, 600, 3_600, 21_600, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_592_000)
"""Bucket boundaries, in seconds, for how long a label took: from a minute to a month."""

ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Bucket boundaries for rows per batch."""


def release() -> str:
    """Return which release of inprocml records; "" where it was not installed but only put on the path."""
    try:
        return metadata.version(SCOPE)
    except metadata.PackageNotFoundError:
        return ""
