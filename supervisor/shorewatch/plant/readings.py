"""What a site's sensors would read, in engineering units: quiet day and events taken together.

For the device families; each function takes the site and the moment, to which the world has been
brought.
"""

from shorewatch.plant.world import Site

_RH_PER_K = 0.055  # what a kelvin of warming takes from relative humidity


def room_degc(site: Site, utc_s: float) -> float:
    """Equipment room."""
    return site.around.room(utc_s)[0] + site.room.heat_k


def room_rh(site: Site, utc_s: float) -> float:
    """Its humidity: the same water in warmer air."""
    drier: float = (1 - _RH_PER_K) ** site.room.heat_k
    return site.around.room(utc_s)[1] * drier


def water_m(site: Site, utc_s: float) -> float:
    """Water in the manhole."""
    return site.manhole.level_m(site.around.water_m(utc_s))


def water_ms_cm(site: Site, utc_s: float) -> float:
    """Its conductivity."""
    ground_m = site.around.water_m(utc_s)
    return site.manhole.ms_cm(ground_m, site.around.water_ms_cm(utc_s))
