"""Every rule fires, keeps quiet, and is mended by the fix that it names."""

import random
import re
import shlex
from collections import Counter

import pytest
from rule_examples import EXAMPLES

from loraforge.advice.facts import DatasetFacts, MachineFacts
from loraforge.advice.rules import RULES, check_job
from loraforge.config.profiles import PROFILES
from loraforge.engine.extras import check_extra
from loraforge.engine.options import snapshot
from loraforge.engine.owned import OWNED
from loraforge.errors import ConfigError
from loraforge.findings import Finding
from loraforge.presets import names


@pytest.fixture
def judge(make_job, make_pictures):
    """Return `judge(example, assignments)`: the findings, by code."""

    def run(example, assignments) -> dict[str, Finding]:
        job = make_job(assignments, example.preset)
        assert not list(check_extra(job.engine.extra, snapshot(), OWNED))
        pictures = make_pictures(job.dataset)
        if example.sizes is not None:
            pictures = DatasetFacts.of(example.sizes, [example.caption] * len(example.sizes), job.dataset)
        elif example.caption:
            pictures = DatasetFacts.of(pictures.sizes, [example.caption] * pictures.pictures, job.dataset)
        return {finding.code: finding for finding in check_job(job, pictures, example.machine, example.weights)}

    return run


@pytest.mark.parametrize("alpha", [0.5, 64, 256])
def test_what_mends_alpha_leaves_a_rate_that_is_none_to_mend(make_job, alpha):
    """The product is kept only where it is a rate that one would take."""
    said = {finding.code: finding for finding in check_job(make_job(["network.rank=8", f"network.alpha={alpha}"]))}
    fix = shlex.split(said["alpha-far-from-rank"].fix)
    mended = {finding.code for finding in check_job(make_job(["network.rank=8", *fix[1::2]]))}
    assert not {"alpha-far-from-rank", "learning-rate-hot", "learning-rate-cold"} & mended


def test_every_rule_has_an_example():
    """The table below holds each registered rule once, and nothing else."""
    assert set(EXAMPLES) == set(RULES)
    assert len(RULES) >= 45


@pytest.mark.parametrize("code", EXAMPLES)
def test_fires(judge, code):
    """A rule fires on its example, with its severity and its reason."""
    found = judge(EXAMPLES[code], EXAMPLES[code].fires)
    assert code in found, sorted(found)
    assert found[code].severity == RULES[code].severity
    assert RULES[code].why in found[code].message


@pytest.mark.parametrize("code", EXAMPLES)
def test_keeps_quiet(judge, code):
    """A rule does not fire on the settings nearest to its example that are sound."""
    assert code not in judge(EXAMPLES[code], EXAMPLES[code].quiet)


@pytest.mark.parametrize("code", EXAMPLES)
def test_fix_mends(judge, code):
    """The `--set` flags of a fix load, and with them the rule no longer fires."""
    example = EXAMPLES[code]
    words = shlex.split(judge(example, example.fires)[code].fix)
    assert words[::2] == ["--set"] * (len(words) // 2)
    assert code not in judge(example, [*example.fires, *words[1::2]])


@pytest.mark.parametrize("code", EXAMPLES)
def test_no_fix_undoes_another(judge, code):
    """What a fix brings up is not mended by bringing back what it had mended."""
    example = EXAMPLES[code]
    before = judge(example, example.fires)
    for first, finding in before.items():
        mended = [*example.fires, *shlex.split(finding.fix)[1::2]]
        for second, other in judge(example, mended).items():
            if second not in before:
                assert first not in judge(example, [*mended, *shlex.split(other.fix)[1::2]]), (first, second)


@pytest.mark.parametrize("seed", range(4))
def test_fixes_load_whatever_else_is_set(make_job, make_pictures, seed):
    """Over settings thrown together from several examples no rule stumbles, and every fix is accepted."""
    chance = random.Random(seed)  # noqa: S311  # repeatable draws, no secret
    made = 0
    for _ in range(40):
        chosen = chance.sample(list(EXAMPLES.values()), 5)
        assignments = [part for example in chosen for part in example.fires]
        try:
            job = make_job(assignments, chosen[0].preset)
        except ConfigError:  # two of the examples contradict each other
            continue
        made += 1
        for finding in check_job(job, make_pictures(job.dataset), chosen[0].machine, chosen[0].weights):
            make_job([*assignments, *shlex.split(finding.fix)[1::2]], chosen[0].preset)
    assert made > 12


@pytest.mark.parametrize("preset", names())
@pytest.mark.parametrize("profile", ["auto", *(profile.name for profile in PROFILES)])
def test_presets_are_sound(make_job, make_pictures, preset, profile):
    """No preset draws an error or a warning from twenty sound pictures, at any profile and its card."""
    job = make_job([f"memory.profile={profile}"], preset)
    vram = next((float(item.vram_gib) for item in PROFILES if item.name == profile), 24.0)
    machine = MachineFacts(vram_gib=vram, ram_gib=64.0, disk_free_gib=200.0, capability=(8, 9), gpu_count=1)
    found = check_job(job, make_pictures(job.dataset), machine)
    assert [finding.code for finding in found if finding.severity != "info"] == []


def test_swapping_is_judged_by_the_card(make_job):
    """On a card that does not compile 8 bits the cheapest change swaps in bf16, and no rule says otherwise."""
    job = make_job(["memory.fp8_base=false", "memory.blocks_to_swap=28"])
    judged = {
        vram: {finding.code for finding in check_job(job, None, MachineFacts(vram_gib=vram))} for vram in (12.0, 24.0)
    }
    assert "swap-before-fp8" not in judged[12.0]
    assert "swap-before-fp8" in judged[24.0]


def test_silent_without_facts(make_job):
    """Without facts on pictures and machine the style preset draws nothing but advice."""
    assert [finding.code for finding in check_job(make_job([]), None, None) if finding.severity != "info"] == []


def test_rules_read_well():
    """A rule's reason is one sentence, its evidence is named, its code is kebab-case and its severity known."""
    for rule in RULES.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.code)
        assert rule.why.endswith("."), rule.code
        assert rule.evidence, rule.code
        assert rule.severity in {"error", "warning", "info"}
    assert max(Counter(rule.why for rule in RULES.values()).values()) == 1


def test_guides_flags_are_judged(make_job, make_pictures):
    """The guide's recipe as settings, its absent flags at the engine's defaults, meets the traps known of it."""
    job = make_job(
        [
            "optimizer.schedule=cosine_with_restarts",
            "network.train_clip_l=true",
            "training.timestep_sampling=sigma",
            "training.model_prediction=sigma_scaled",
            "memory.cache_latents=off",
            "memory.cache_text_encoders=off",
        ]
    )
    codes = {finding.code for finding in check_job(job, make_pictures(job.dataset))}
    assert codes >= {
        "restarts-missing",
        "adafactor-schedule",
        "text-encoder-trained",
        "timesteps-not-shifted",
        "prediction-not-raw",
        "latent-cache-off",
    }
