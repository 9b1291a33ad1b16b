"""Whether the world has changed: from counts to episodes of drift, with a budget of false alarms."""

from inprocml.monitoring.alarm.alarm import Alarm
from inprocml.monitoring.alarm.at_once import judge_at_once
from inprocml.monitoring.alarm.budget import threshold
from inprocml.monitoring.alarm.judging import Floors
from inprocml.monitoring.alarm.unrest import with_unrest

__all__ = ["Alarm", "Floors", "judge_at_once", "threshold", "with_unrest"]
