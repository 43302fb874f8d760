"""The rules of the protocol, each taken out of the code that runs in a simulation."""

import math

from semloop.delta import unused_files
from sinks import archive_tables, memory_tables, rebuilt_generation, vacuum
from sinks.archive_tables import ArchiveTables
from sinks.compaction import log_entry
from sinks.compaction import tables as compacted
from sinks.delta import ownership
from sinks.delta.checked_log import CheckedLog
from sinks.episode_switch import EpisodeSwitch
from sinks.memory_tables import MemoryTables
from tests.simulation import (
    broken_commits,
    broken_maintenance,
    broken_memory,
    maintenance,
)
from tests.simulation.rule import Rule
from tests.simulation.store import SimulatedStorage
from tests.simulation.vectors import SimulatedVectors
from tests.sinks import broken_rules

RULES = (
    Rule(
        "A take-over stores a higher epoch than all before it.",
        seed=0,
        replaced=((archive_tables, "Takeover", broken_rules.WithoutEpochs),),
    ),
    Rule("Side tables are fenced, too.", seed=1, wrap_log=broken_rules.SideUnfenced),
    Rule(
        "The main table is fenced first.",
        seed=20,
        replaced=((archive_tables, "Takeover", broken_rules.SideFirst),),
    ),
    Rule(
        "Every commit carries all partitions that its writer owns.",
        seed=0,
        wrap_log=broken_rules.OnlyMoved,
    ),
    Rule(
        "The entries since the last commit are read before the next one.",
        seed=6,
        wrap_log=broken_rules.FollowsBlindly,
    ),
    Rule(
        "After a failed commit, the stored fence shows if it is there.",
        seed=0,
        wrap_log=broken_rules.RetriesBlindly,
    ),
    Rule(
        "A record with a dead letter beyond the main offset enters no table again.",
        seed=1,
        after_take_over=broken_rules.forget_dead_letters,
    ),
    Rule(
        "These dead letters are read after the side table is fenced.",
        seed=5,
        replaced=((ArchiveTables, "take_over", broken_commits.take_over_early),),
    ),
    Rule(
        "The main table is committed last.",
        seed=0,
        replaced=broken_commits.main_table_first(),
    ),
    Rule(
        "Rows and offsets are in one commit.",
        seed=0,
        wrap_log=broken_commits.OffsetsLater,
    ),
    Rule(
        "An offset never decreases.",
        seed=0,
        replaced=((ownership.Ownership, "next", broken_commits.next_as_reported),),
    ),
    Rule(
        "The topic's id is asked before a commit.",
        seed=11,
        replaced=((ArchiveTables, "may_commit", lambda tables: True),),
    ),
    Rule(
        "A handle that is opened again is compared with the last commit.",
        seed=174,
        replaced=((CheckedLog, "reopen", broken_commits.reopen_blindly),),
    ),
    Rule(
        "A commit is on top of a version whose fences were compared.",
        seed=135,
        replaced=((CheckedLog, "is_current", True),),
    ),
    Rule(
        "A commit below a checkpoint counts as not stored.",
        seed=42,
        replaced=((CheckedLog, "_compare_entries", broken_commits.compare_new),),
    ),
    Rule(
        "A take-over below a checkpoint is repeated.",
        seed=22,
        replaced=((CheckedLog, "_compare_stored", broken_commits.compare_strictly),),
    ),
    Rule(
        "A take-over is repeated if the log was cleaned up since its version was read.",
        seed=2_000_087,
        replaced=((CheckedLog, "follow_takeover", CheckedLog.follow_commit),),
    ),
    Rule(
        "A file that has waited for its commit for 12 hours is written again.",
        seed=120,
        replaced=((ownership, "FILE_S_MAX", math.inf),),
    ),
    Rule(
        "A merge is added only while all files that it replaces are active.",
        seed=126,
        replaced=((compacted, "ActiveFiles", broken_maintenance.Unremoved),),
    ),
    Rule(
        "A merge is put at the next version only if that is absent.",
        seed=10,
        replaced=((SimulatedStorage, "create", broken_maintenance.overwrite),),
    ),
    Rule(
        "An entry that was refused is looked for in the log.",
        seed=128,
        replaced=(
            (log_entry, "_attempt", broken_maintenance.attempt_blindly),
            (log_entry, "_is_added", lambda active, change: False),
        ),
    ),
    Rule(
        "A merge is not put over a change of the table, as that of a vacuum.",
        replaced=((compacted, "ActiveFiles", broken_maintenance.Unchanged),),
    ),
    Rule(
        "A merge looks if the log was cleaned up to the version it has read.",
        replaced=((compacted, "ActiveFiles", broken_maintenance.Unverified),),
    ),
    Rule(
        "A merged file older than 12 hours is not added.",
        replaced=((log_entry, "AGE_MAX", broken_maintenance.NEVER_TOO_OLD),),
    ),
    Rule(
        "Of the three rules above, one holds.",
        seed=53,
        replaced=(
            (compacted, "ActiveFiles", broken_maintenance.Unguarded),
            (log_entry, "AGE_MAX", broken_maintenance.NEVER_TOO_OLD),
        ),
    ),
    Rule(
        "A merge takes consecutive commits.",
        seed=10,
        replaced=((maintenance, "plan", broken_maintenance.every_second),),
    ),
    Rule(
        "A vacuum puts an entry before it deletes.",
        seed=23,
        replaced=((vacuum, "_put_entry", lambda *arguments: None),),
    ),
    Rule(
        "A vacuum reads the log again after its entry.",
        seed=23,
        replaced=((vacuum, "names_of", lambda snapshot: set()),),
    ),
    Rule(
        "A vacuum spares files that were removed less than 24 hours ago.",
        seed=52,
        replaced=(
            (unused_files, "removed_files", lambda *arguments: {}),
            (vacuum, "removed_files", lambda *arguments: {}),
        ),
    ),
    Rule(
        "Of a file whose removal the log forgot, the replacement's age counts.",
        seed=68,
        replaced=(
            (unused_files, "_replacement_times", lambda active: lambda name: None),
        ),
    ),
    Rule(
        "Memories are merged before their episodes are committed.",
        seed=0,
        flow="memory",
        replaced=((MemoryTables, "commit", broken_memory.commit_episodes_first),),
    ),
    Rule(
        "A memory is replaced by the same or a later writer only.",
        seed=79,
        flow="memory",
        replaced=((SimulatedVectors, "may_replace", lambda *memories: True),),
    ),
    Rule(
        "A take-over of `episodes` stores a higher epoch than all before it.",
        seed=0,
        flow="memory",
        replaced=((memory_tables, "Takeover", broken_rules.WithoutEpochs),),
    ),
    Rule(
        "Episodes and offsets are in one commit.",
        seed=0,
        flow="memory",
        wrap_log=broken_memory.RowsLater,
    ),
    Rule(
        "The entries since the last commit of episodes are read before the next one.",
        seed=26,
        flow="memory",
        wrap_log=broken_rules.FollowsBlindly,
    ),
    Rule(
        "After a failed commit of episodes, the stored fence shows if it is there.",
        seed=0,
        flow="memory",
        wrap_log=broken_rules.RetriesBlindly,
    ),
    Rule(
        "The generation is read again after a take-over.",
        seed=78,
        flow="memory",
        replaced=(
            (memory_tables, "stored_generation", broken_memory.FirstGeneration()),
        ),
    ),
    Rule(
        "A rebuild switches only if `memory` has not read more.",
        seed=35,
        flow="memory",
        replaced=(
            (rebuilt_generation, "EpisodeSwitch", broken_memory.SwitchesBackwards),
        ),
    ),
    Rule(
        "A switch stores fences and offsets of `memory`.",
        seed=6,
        flow="memory",
        replaced=(
            (rebuilt_generation, "EpisodeSwitch", broken_memory.SwitchesUnfenced),
        ),
    ),
    Rule(
        "A switch is put at the next version only if that is absent.",
        seed=14,
        flow="memory",
        replaced=((SimulatedStorage, "create", broken_maintenance.overwrite),),
    ),
    Rule(
        "A rebuilt file older than 12 hours is not added.",
        flow="memory",
        replaced=((EpisodeSwitch, "_require_young", lambda switch, files: None),),
    ),
)
