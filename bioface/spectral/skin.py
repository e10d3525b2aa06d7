"""The skin model: reflectance from the volume fractions of melanin and haemoglobin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj

from bioface.errors import InputError
from bioface.spectral import skin_physics
from bioface.spectral.backend import Array, like, table_like
from bioface.spectral.tables import DATA

PARAMETERS = {
    "melanin": (0.0, 1.0),
    "haemoglobin": (0.0, 1.0),
    "oxygenation": (0.0, 1.0),
    "scattering": (0.1, 10.0),
}
"""Ranges that the public edge accepts: volume fraction of melanosomes in the epidermis, volume
fraction of blood in the dermis, oxygenated share of that blood, factor on reduced scattering."""

COLOURATION = {f"colouration_curve_{k + 1}": (-0.08, 0.08) for k in range(skin_physics.CURVE_TERMS)}
"""Bounds of further constants of separable models, 0 unless given: a smooth log factor on the
reflectance of all skin, for what fine-tuning finds in photos and no spectrum explains."""

NAMES = ("calibrated", "calibrated+oxygenation", "calibrated+scattering", "alotaibi2019")


@dataclass(frozen=True)
class SkinModel:
    """A skin model with its global constants; see `docs/skin-model.md` for the equations.

    Attributes
    ----------
    name
        One of `NAMES`.
    constants
        Global constants by name, floats or 0-d arrays; empty for `alotaibi2019`.
    bounds
        Physiological bounds (lo, hi) of the constants that calibration and fine-tuning may move.
    parameters
        Names of the per-pixel parameters, in the order in which `reflectance` takes them.
    specular_offset
        Constant gloss in the spectra the model was calibrated on; not part of its reflectance.

    Examples
    --------
    >>> skin = SkinModel.load()
    >>> skin.reflectance(0.1, 0.01).shape
    (33,)
    """

    name: str
    constants: Mapping[str, Any]
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    parameters: tuple[str, ...] = ("melanin", "haemoglobin")
    specular_offset: float = 0.0

    @staticmethod
    def load(name: str = "calibrated") -> SkinModel:
        """The model called `name`; raises `InputError` listing the known names for another."""
        if name == "alotaibi2019":
            return SkinModel(name, MappingProxyType({}), MappingProxyType({}))
        variants = calibration_table()["variants"]
        if name not in variants:
            raise InputError(f"unknown skin model {name!r}: choose one of {', '.join(NAMES)}")
        constants = variants[name]["constants"]
        return SkinModel(
            name,
            MappingProxyType({key: entry["value"] for key, entry in constants.items()}),
            MappingProxyType({key: tuple(entry["bounds"]) for key, entry in constants.items()}),
            tuple(variants[name]["parameters"]),
            variants[name]["specular_offset"],
        )

    @property
    def separable(self) -> bool:
        """Whether reflectance is a function of melanin times a function of the blood."""
        return self.name != "alotaibi2019"

    def with_constants(self, **values: Any) -> SkinModel:
        """This model with some constants replaced by floats, 0-d arrays or tensors.

        Gradients flow through tensors. Bounds are not enforced. Separable models take those of
        `COLOURATION` too. Raises `InputError` for a constant the model does not have.
        """
        known = {*self.constants, *COLOURATION} if self.separable else set(self.constants)
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(
                f"skin model {self.name} has no constant {unknown[0]!r}: "
                f"it has {', '.join(self.constants) or 'none'}"
            )
        return replace(self, constants=MappingProxyType({**self.constants, **values}))

    def reflectance(
        self,
        melanin: Any,
        haemoglobin: Any,
        *,
        oxygenation: Any = None,
        scattering: Any = None,
        validate: bool = True,
    ) -> Any:
        """Diffuse reflectance on the wavelength grid, without gloss.

        Parameters
        ----------
        melanin, haemoglobin
            Volume fractions in [0, 1]; arrays or tensors (...) that broadcast, or numbers.
        oxygenation
            Oxygenated share of the blood in [0, 1]; None: the model's constant.
        scattering
            Factor on reduced scattering in [0.1, 10]; None: 1.
        validate
            False leaves out the checks of the values.

        Returns
        -------
        array (..., 33) in [0, 1], of the inputs' namespace, dtype and device; integers and numbers
        become float64.

        Raises
        ------
        InputError
            A value is NaN, out of its range or not a number, shapes do not broadcast, or the model
            has no such parameter.
        """
        given = {"melanin": melanin, "haemoglobin": haemoglobin}
        given |= {
            name: value
            for name, value in (("oxygenation", oxygenation), ("scattering", scattering))
            if value is not None
        }
        if not self.separable and len(given) > 2:
            raise InputError(f"skin model {self.name} has no oxygenation or scattering parameter")
        context = _Context.of(self, given, validate)
        pigments = context.arrays
        if self.separable:
            result = context.epidermis(pigments["melanin"]) * context.dermis(
                pigments["haemoglobin"], pigments.get("oxygenation"), pigments.get("scattering")
            )
        else:
            result = skin_physics.published_reflectance(
                context.xp,
                context.tables(skin_physics.published_tables()),
                pigments["melanin"],
                pigments["haemoglobin"],
            )
        return context.finish(result)

    def epidermis(self, melanin: Any, *, validate: bool = True) -> Any:
        """The factor A(melanin) (..., 33) of a separable model: two-way epidermal transmission.

        Arguments, result and errors as for `reflectance`; `InputError` for a model that is not
        separable.
        """
        self._require_separable()
        context = _Context.of(self, {"melanin": melanin}, validate)
        return context.finish(context.epidermis(context.arrays["melanin"]))

    def dermis(
        self,
        haemoglobin: Any,
        *,
        oxygenation: Any = None,
        scattering: Any = None,
        validate: bool = True,
    ) -> Any:
        """The factor B(haemoglobin) (..., 33) of a separable model: reflectance of the dermis.

        Arguments, result and errors as for `reflectance`; `InputError` for a model that is not
        separable.
        """
        self._require_separable()
        given = {"haemoglobin": haemoglobin, "oxygenation": oxygenation, "scattering": scattering}
        given = {name: value for name, value in given.items() if value is not None}
        context = _Context.of(self, given, validate)
        return context.finish(
            context.dermis(
                context.arrays["haemoglobin"],
                context.arrays.get("oxygenation"),
                context.arrays.get("scattering"),
            )
        )

    def diffusion_length(
        self,
        haemoglobin: Any,
        *,
        oxygenation: Any = None,
        scattering: Any = None,
        validate: bool = True,
    ) -> Any:
        """Diffuse mean free path (..., 33) of light in the dermis of a separable model, cm.

        Arguments and errors as for `dermis`; see `skin_physics.diffusion_length`. Like absolute
        pigments it hangs on the scattering held at a cited value.
        """
        self._require_separable()
        given = {"haemoglobin": haemoglobin, "oxygenation": oxygenation, "scattering": scattering}
        given = {name: value for name, value in given.items() if value is not None}
        context = _Context.of(self, given, validate)
        coefficients = context.dermis_coefficients(
            context.arrays["haemoglobin"],
            context.arrays.get("oxygenation"),
            context.arrays.get("scattering"),
        )
        return context.finish(skin_physics.diffusion_length(context.xp, *coefficients))

    def _require_separable(self) -> None:
        if not self.separable:
            raise InputError(
                f"skin model {self.name} is not separable: its epidermis holds blood; "
                "use reflectance()"
            )


@cache
def calibration_table() -> dict[str, Any]:
    """The committed result of `scripts/calibrate_skin`, as its JSON holds it."""
    return json.loads((DATA / "skin_calibrated.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class _Context:
    """One evaluation: the inputs as arrays with a last axis, in the dtype that is worked in."""

    model: SkinModel
    reference: Array
    result_dtype: Any
    arrays: dict[str, Array]

    @staticmethod
    def of(model: SkinModel, given: Mapping[str, Any], validate: bool) -> _Context:
        sources = _arrays(given) or _arrays(model.constants)
        try:
            xp = array_namespace(*(sources or [np.empty(0)]))
        except TypeError as error:
            raise InputError(
                f"{' and '.join(given)} must be of one array library, such as numpy or torch"
            ) from error
        floating = [v.dtype for v in sources if xp.isdtype(v.dtype, "real floating")]
        result_dtype = xp.result_type(*floating) if floating else xp.float64
        dtype = result_dtype if xp.finfo(result_dtype).bits >= 32 else xp.float32
        reference = xp.empty(0, dtype=dtype, device=device(sources[0]) if sources else None)
        arrays = {}
        for name, value in given.items():
            try:
                arrays[name] = like(reference, value)
            except (TypeError, ValueError) as error:
                raise InputError(f"{name} must be a number or an array of numbers") from error
            if validate:
                _check(xp, name, arrays[name])
        try:
            np.broadcast_shapes(*(tuple(a.shape) for a in arrays.values()))
        except ValueError as error:
            shapes = " and ".join(f"{name} {tuple(a.shape)}" for name, a in arrays.items())
            raise InputError(f"shapes do not broadcast: {shapes}") from error
        expanded = {name: xp.expand_dims(a, axis=-1) for name, a in arrays.items()}
        return _Context(model, reference, result_dtype, expanded)

    @property
    def xp(self) -> Any:
        return array_namespace(self.reference)

    @property
    def constants(self) -> dict[str, Array]:
        return {name: like(self.reference, v) for name, v in self.model.constants.items()}

    def tables(self, tables: Mapping[str, np.ndarray]) -> dict[str, Array]:
        return {name: table_like(self.reference, table) for name, table in tables.items()}

    def epidermis(self, melanin: Array) -> Array:
        tables = self.tables(skin_physics.grid_tables())
        return skin_physics.calibrated_epidermis(self.xp, self.constants, tables, melanin)

    def dermis(self, haemoglobin: Array, oxygenation: Array, scattering: Array) -> Array:
        return skin_physics.calibrated_dermis(
            self.xp, *self._medium(haemoglobin, oxygenation, scattering)
        )

    def dermis_coefficients(
        self, haemoglobin: Array, oxygenation: Array, scattering: Array
    ) -> tuple[Array, Array]:
        return skin_physics.dermis_coefficients(
            self.xp, *self._medium(haemoglobin, oxygenation, scattering)
        )

    def _medium(self, haemoglobin: Array, oxygenation: Array, scattering: Array) -> tuple[Any, ...]:
        constants = self.constants
        return (
            constants,
            self.tables(skin_physics.grid_tables()),
            haemoglobin,
            constants["oxygenation"] if oxygenation is None else oxygenation,
            1.0 if scattering is None else scattering,
        )

    def finish(self, values: Array) -> Array:
        return self.xp.astype(values, self.result_dtype, copy=False)


def _arrays(values: Mapping[str, Any]) -> list[Array]:
    """Those that are arrays; numpy's scalars are numbers, which go with arrays of any library."""
    found = (v for v in values.values() if is_array_api_obj(v))
    return [v for v in found if not isinstance(v, np.generic)]


def _check(xp: Any, name: str, values: Array) -> None:
    lo, hi = PARAMETERS[name]
    if bool(xp.any(xp.isnan(values))):
        raise InputError(f"{name} holds NaN")
    if bool(xp.any(values < lo)) or bool(xp.any(values > hi)):
        what = " (a volume fraction)" if name in ("melanin", "haemoglobin") else ""
        raise InputError(f"{name}{what} must lie in [{lo:g}, {hi:g}]")
