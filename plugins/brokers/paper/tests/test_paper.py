"""Trading on paper: fee and half the spread reach the fills, to the last unit."""

import pytest
from nexus_broker_paper import Paper

from nexus_core import plugins
from nexus_core.config import Settings
from nexus_core.engine import assemble
from nexus_core.errors import ConfigError
from nexus_core.ledger.orders import FILL
from nexus_core.testing import Trial, rows
from nexus_core.types import from_units

QUANTITY = {"sizing": "fixed-quantity", "quantity": 2.0}


def fills(paper, made, signals, **risk):
    """Return price and fee of each fill as text, and the cash after the last."""
    trial = Trial(fee=paper.fees(), slippage=paper.slippage(), **(QUANTITY | risk))
    trial.run(made, signals)
    booked = trial.events[trial.events["kind"] == FILL]
    amounts = [tuple(f"{from_units(each[name]):f}" for name in ("price", "fee")) for each in booked]
    return amounts, f"{from_units(trial.account['cash']):f}"


def test_it_trades_on_paper():
    assert Paper.on_paper
    assert plugins.load("brokers", "paper") is Paper


def test_an_entry_pays_half_the_spread_and_the_fee():
    # 2 x 100.01 = 200.02, a thousandth of which is 0.20002; 100,000 - 200.02 - 0.20002
    bought, cash = fills(Paper(), rows([100, 100]), [1, 0])
    assert (bought, cash) == ([("100.01000000", "0.20002000")], "99799.77998000")
    # 2 x 99.99 = 199.98
    sold, cash = fills(Paper(), rows([100, 100]), [-1, 0])
    assert (sold, cash) == ([("99.99000000", "0.19998000")], "100199.78002000")


def test_a_target_fills_at_its_price_and_pays_no_spread():
    # 100 x 1.04 = 104; 2 x 104 x 0.001 = 0.208
    amounts, _ = fills(Paper(), rows([100, 100, 105]), [1, 0, 0])
    assert amounts[1] == ("104.00000000", "0.20800000")


def test_a_stop_pays_half_the_spread():
    # 100 x 0.98 = 98; 98 x 0.0001 = 0.0098 worse; 2 x 97.9902 x 0.001
    amounts, _ = fills(Paper(), rows([100, 100, 97]), [1, 0, 0])
    assert amounts[1] == ("97.99020000", "0.19598040")


def test_a_bar_that_opens_beyond_the_stop_fills_at_its_open():
    # 95 - 0.0095
    amounts, _ = fills(Paper(), rows([100, 100, 96], open=[100, 100, 95]), [1, 0, 0])
    assert amounts[1] == ("94.99050000", "0.18998100")


def test_a_bar_that_touches_stop_and_target_takes_the_stop():
    made = rows([100, 100, 100], high=[100, 100, 105], low=[100, 100, 97])
    assert fills(Paper(), made, [1, 0, 0])[0][1][0] == "97.99020000"


def test_both_costs_are_parameters_and_a_fee_can_be_a_rebate():
    # 100 x 1.002 = 100.2; 2 x 100.2 x 0.0005 = 0.1002 received
    amounts, cash = fills(Paper(fee=-0.0005, half_spread=0.002), rows([100, 100]), [1, 0])
    assert (amounts, cash) == ([("100.20000000", "-0.10020000")], "99799.70020000")
    assert fills(Paper(fee=0.0, half_spread=0.0), rows([100, 100]), [1, 0]) == (
        [("100.00000000", "0.00000000")],
        "99800.00000000",
    )


@pytest.mark.parametrize(
    ("name", "low", "high"), [("fee", -0.01, 0.1), ("half_spread", 0.0, 0.1)], ids=["fee", "half_spread"]
)
def test_a_cost_has_bounds(name, low, high):
    for value in (low, high):
        paper = Paper(**{name: value})
        fee, slippage = paper.costs()
        reached = fee.params["rate"][0] if name == "fee" else slippage.params["half"][0]
        assert reached == value
    for value in (low - 1e-9, high + 1e-9, float("nan"), True, "1"):
        with pytest.raises(ConfigError, match=rf"^paper: parameter {name} was .+, must be "):
            Paper(**{name: value})


def test_the_settings_reach_the_ledger_of_a_run():
    made = assemble(Settings.from_dict({"plugins": {"paper": {"fee": 0.002, "half_spread": 0.0003}}}))
    fee, slippage = made.broker.costs()
    assert (fee.params["rate"][0], slippage.params["half"][0]) == (0.002, 0.0003)
    plain = assemble(Settings())
    assert made.code["fee"] != plain.code["fee"]
    assert made.code["slippage"] != plain.code["slippage"]
