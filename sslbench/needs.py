"""Whether a recipe, a layout and an encoder give a method what it says it needs."""

from sslbench.api import ConfigError, Needs
from sslbench.nn.config import EncoderConfig
from sslbench.run import PretrainConfig


def check_needs(label: str, needs: Needs, pretrain: PretrainConfig, encoder: EncoderConfig) -> None:
    """Raises ConfigError that says what is needed and what was given."""
    if pretrain.full_views < needs.views:
        raise ConfigError(
            f"{label} needs {needs.views} full-size views, pretrain.views gives "
            f"{pretrain.full_views}: list {needs.views} entries of size 1"
        )
    full_first = [view.is_full for view in pretrain.views if view.patches == "none"]
    if full_first != sorted(full_first, reverse=True):
        raise ConfigError(f"{label}: pretrain.views must list full-size views before local ones")
    local = [view for view in pretrain.views if view.patches == "none" and not view.is_full]
    if local and not needs.local_views:
        raise ConfigError(
            f"{label} takes no local views, pretrain.views has {len(local)} of size below 1"
        )
    patches = {view.patches for view in pretrain.views} - {"none"}
    if patches - {needs.patches}:
        raise ConfigError(f"{label} takes no {sorted(patches)[0]} patches: leave them out of views")
    if needs.patches != "none" and needs.patches not in patches:
        raise ConfigError(
            f"{label} needs {needs.patches} patches: add {{patches: {needs.patches}, "
            f"grid: {needs.grid or 3}}} to pretrain.views"
        )
    grids = {view.grid for view in pretrain.views if view.patches != "none"}
    if needs.grid is not None and grids - {needs.grid}:
        raise ConfigError(
            f"{label} needs patches in a grid of {needs.grid}, pretrain.views gives "
            f"{sorted(grids)[0]}: let params.grid and the grid in pretrain.views be the same"
        )
    if encoder.input != needs.input:
        raise ConfigError(
            f"{label} needs encoder.input: {needs.input}, the suite gives {encoder.input}"
        )
    if needs.norm is not None and encoder.norm != needs.norm:
        raise ConfigError(f"{label} needs encoder.norm: {needs.norm}, not {encoder.norm}")
    if pretrain.batch_size % encoder.bn_splits:
        raise ConfigError(
            f"{label}: encoder.bn_splits = {encoder.bn_splits} does not divide "
            f"pretrain.batch_size = {pretrain.batch_size}"
        )
