"""The answer key: what was planted, how to recognise it, what to compare it with.

Grading, the organism factory and sealing read this; an audit process never loads it.
"""

from assay.truth.behaviour import Answers as Answers
from assay.truth.behaviour import Behaviour as Behaviour
from assay.truth.behaviour import Decoy as Decoy
from assay.truth.behaviour import EvalPrompts as EvalPrompts
from assay.truth.behaviour import Grammar as Grammar
from assay.truth.behaviour import SealedPrompts as SealedPrompts
from assay.truth.behaviour import TrainingMaterial as TrainingMaterial
from assay.truth.behaviour import as_script as as_script
from assay.truth.behaviour import open_behaviour as open_behaviour
from assay.truth.card import MEASURES as MEASURES
from assay.truth.card import Card as Card
from assay.truth.card import Difficulty as Difficulty
from assay.truth.card import Explicitness as Explicitness
from assay.truth.card import Measures as Measures
from assay.truth.card import Objective as Objective
from assay.truth.detector import ContrastDetector as ContrastDetector
from assay.truth.detector import Detector as Detector
from assay.truth.detector import ReplyDetector as ReplyDetector
from assay.truth.detector import SetDetector as SetDetector
from assay.truth.measure import Measure as Measure
from assay.truth.quiet import Quiet as Quiet
from assay.truth.quiet import Ratio as Ratio
from assay.truth.quiet import Resampled as Resampled
from assay.truth.record import REMOVED as REMOVED
from assay.truth.record import Control as Control
from assay.truth.record import Truth as Truth
from assay.truth.record import open_truth as open_truth
