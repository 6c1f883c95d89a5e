"""The report: a chapter declares itself, records its tables and figures, and `minidl reproduce` makes a page of them.

run = report.chapter("02_digits", minutes=20, law="relevance is conserved", data={"full": ("mnist",)})
epochs = run.pick(smoke=1, quick=5, full=20)
trained = run.cached("training", train)               # computed once, loaded by a run after a kill
report.record("deeplift:fig4", "Log-odds change", columns=("change",), rows=[...], figure=figure)
"""

from minidl.report.declaration import Declaration, declared
from minidl.report.recording import kept, record
from minidl.report.run import Run, chapter

__all__ = ["Declaration", "Run", "chapter", "declared", "kept", "record"]
