"""Pins that releases ship: one module a format, each giving a `Release`."""

from __future__ import annotations

from irkit.pins.check import check_pins
from irkit.pins.keys import Inspection, Inventory, InventoryKey, Rotation, load_inventory, load_inventory_bytes
from irkit.pins.load import load_release, load_release_bytes
from irkit.pins.release import PLATFORMS, Anchor, ConfiguredPin, HostRule, PinFinding, Platform, Release
from irkit.pins.write import SYNTAXES, new_backup, pins_as

__all__ = [
    "PLATFORMS",
    "SYNTAXES",
    "Anchor",
    "ConfiguredPin",
    "HostRule",
    "Inspection",
    "Inventory",
    "InventoryKey",
    "PinFinding",
    "Platform",
    "Release",
    "Rotation",
    "check_pins",
    "load_inventory",
    "load_inventory_bytes",
    "load_release",
    "load_release_bytes",
    "new_backup",
    "pins_as",
]
