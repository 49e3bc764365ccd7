"""Whether a Sparkplug 3.0 edge node keeps the specification, judged from outside.

    edge node <-> proxy <-> broker <-> observer
                    |                     |
                    +---> session <-------+---> judge ---> report

`stream` and `codec` read what passes (MQTT, protobuf) by themselves, so that no fault
of our edge node's encoder hides itself; `session` is the recording, `judge` and its rules are pure.
"""
