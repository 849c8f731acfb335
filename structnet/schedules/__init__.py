"""The order of work: levels of trees, halving of segments, steps of ragged sequences. Built once, cached."""

from structnet.schedules.levels import LevelSchedule as LevelSchedule
from structnet.schedules.levels import level_schedule as level_schedule
from structnet.schedules.odd_even import OddEvenLevel as OddEvenLevel
from structnet.schedules.odd_even import odd_even_levels as odd_even_levels
from structnet.schedules.steps import StepSchedule as StepSchedule
from structnet.schedules.steps import step_schedule as step_schedule
