"""Test your own workflow: services that do as they are told, and a clock that does not make you wait.

::

    scripted.py   scripted(retrieve=0.5, reply=1.5, cite="hang", ...): deterministic fulfilments of every port
    script.py     what a scripted step does, and what is written down of each call
    material.py   what is found, remembered and said by default

    services = scripted(retrieve=0.5, reply=1.5)
    answer = run_virtual(Mode2AutomaticWorkflow(services).execute(Question("...", tenant="t1", user="u1")))
"""

from vital_engine.flow import Deadlock, run_virtual

from .script import Recorded
from .scripted import ScriptedServices, scripted

__all__ = ["Deadlock", "Recorded", "ScriptedServices", "run_virtual", "scripted"]
