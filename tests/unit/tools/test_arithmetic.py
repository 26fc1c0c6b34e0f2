from __future__ import annotations

import operator
from decimal import Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.errors import InvalidArguments
from vital_engine.services.tools.calculator import MAX_LENGTH, calculator, evaluate


@pytest.mark.parametrize(
    ("expression", "shown", "exact"),
    [
        ("0.1 + 0.2", "0.3", True),
        ("2 + 3 * 4", "14", True),
        ("(2 + 3) * 4", "20", True),
        ("8 / 4 / 2", "1", True),
        ("8 - 4 - 2", "2", True),
        ("-2^2", "-4", True),
        ("2^-1", "0.5", True),
        ("2^3^2", "512", True),
        ("2**10", "1024", True),
        ("- - 3", "3", True),
        ("5²", "25", True),
        ("3 × 4 ÷ 2 − 1", "5", True),
        ("1.5e3 + .5", "1500.5", True),
        ("15% of 240", "36", True),
        ("50%", "0.5", True),
        ("5% + 3%", "0.08", True),
        ("200 * 110%", "220", True),
        ("sqrt(144)", "12", True),
        ("sqrt(2)", "1.4142135623731", False),
        ("ln(exp(1))", "1", False),
        ("log10(1000)", "3", True),
        ("abs(-3.5)", "3.5", True),
        ("min(3, 1, 2) + max(1, 2)", "3", True),
        ("round(2.675, 2)", "2.68", False),
        ("round(2.5)", "2", False),
        ("0^0", "1", True),
        ("1/3", "0.333333333333333", False),
        ("123456789012345678", "123456789012345678", True),
        ("10^25", "1E+25", True),
        ("1e-9", "1E-9", True),
        ("0 * 5", "0", True),
    ],
)
def test_values(expression: str, shown: str, exact: bool) -> None:
    result = evaluate(expression)
    assert (str(result), result.exact) == (shown, exact)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "a number is missing at 1"),
        ("   ", "a number is missing"),
        ("5 *", "a number is missing at 4"),
        ("3 4", "'4' at 3 is not expected"),
        ("(1 + 2", "closing bracket is missing"),
        ("1 + 2)", "'\\)' at 6 is not expected"),
        ("1.5.2", "not expected"),
        ("pi", "the name 'pi'"),
        ("x + 3", "the name 'x'"),
        ("x = 3", "is not arithmetic"),
        ("__import__('os')", "is not arithmetic"),
        ("(1).real", "is not arithmetic"),
        ("abs.__class__", "is not arithmetic"),
        ("sqrt", "sqrt needs its arguments"),
        ("sqrt(1, 2)", "sqrt takes 1 arguments, not 2"),
        ("lambda: 1", "is not arithmetic"),
        ("1 if 1 else 2", "not expected"),
        ("[1]", "is not arithmetic"),
        ("1 // 2", "a number is missing"),
        ("10 % 3", "not expected"),
        ("200 + 10%", "two meanings"),
        ("2 of 3", "'of' follows a percentage"),
        ("1 / 0", "division by zero"),
        ("0 / 0", "not defined"),
        ("sqrt(-1)", "not defined"),
        ("ln(0 - 1)", "not defined"),
        ("(0-8)^0.5", "not defined"),
        ("9^9^9", "an exponent beyond"),
        ("2^1001", "an exponent beyond"),
        ("9.99^1000 * 9.99^1000", "beyond 10"),
        ("1e999999999", "beyond 10"),
        ("exp(10000)", "beyond 10"),
        ("round(1, 0.5)", "decimal places"),
        ("round(1, 99)", "decimal places"),
        ("(" * 40 + "1" + ")" * 40, "nested deeper"),
        ("-" * 40 + "1", "nested deeper"),
        ("2^" * 40 + "1", "nested deeper"),
        ("1" * (MAX_LENGTH + 1), "longer than"),
    ],
)
def test_refusals(expression: str, why: str) -> None:
    with pytest.raises(InvalidArguments, match=why) as caught:
        evaluate(expression)
    assert caught.value.fields == ("expression",)


numbers = st.decimals(min_value=-999, max_value=999, places=2, allow_nan=False)


@given(numbers, numbers, st.sampled_from("+-*"))
def test_it_agrees_with_exact_fractions(a: Decimal, b: Decimal, sign: str) -> None:
    work = {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign]
    result = evaluate(f"({a}) {sign} ({b})")
    assert result.exact
    assert Fraction(result.value) == work(Fraction(a), Fraction(b))


@given(numbers, numbers.filter(lambda n: n != 0))
def test_division_is_right_to_34_digits(a: Decimal, b: Decimal) -> None:
    assert evaluate(f"({a}) / ({b})").value == Context(prec=34).divide(a, b)


@given(st.text(alphabet="0123456789+-*/^%().,e sqrtlnof×−²ä_'", max_size=60))
def test_any_text_is_a_number_or_a_typed_refusal(text: str) -> None:
    try:
        result = evaluate(text)
    except InvalidArguments:
        return
    assert result.value.is_finite()
    assert Decimal(str(result)).is_finite()


def test_the_tool_says_whether_it_is_exact() -> None:
    assert calculator(expression="1 + 1").text == "1 + 1 = 2"
    assert calculator(expression="2 / 3").text == "2 / 3 ≈ 0.666666666666667"
    assert calculator(expression="2 / 4").value == {"result": "0.5", "exact": True}
