"""The student is the paper's size, sees no motion, and learns from a teacher as the loss says."""

from __future__ import annotations

import dataclasses
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from algos.facepad import motion
from algos.facepad.distillation import by_clip, distilled, logits, train_student, train_teacher
from algos.facepad.networks import Student, Teacher, normalized, scores
from algos.facepad.samples import Samples
from algos.frontend.shapes import import_module
from algos.recipe import Recipe
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.workloads import workload

RECIPE = Recipe(1, 1e-3, "adamw", batch=2, schedule="cosine", precision="float32")


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def samples() -> Samples:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, 3, 32, 32), generator=random, dtype=torch.uint8)
    return Samples(pixels, pixels, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1]), ("a", "real"))


def test_parameters_are_the_papers() -> None:
    student = Student()
    assert parameters(student.body) == 2_971_952
    assert parameters(student) == 3_465_010
    assert parameters(Teacher()) == 6_928_482


def test_multiplications_are_the_papers() -> None:
    """Of the whole student at 224x224, counted by PyTorch: 214.6 M."""
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        Student().eval()(torch.zeros(1, 3, 224, 224))
    assert counted.get_total_flops() // 2 == 214_573_504


@pytest.mark.slow
def test_layers_are_those_of_the_workload() -> None:
    """The module by tracing, the workload by a table of its own."""
    sizes, wanted = (
        [(shape.macs, shape.groups) for shape in shapes if isinstance(shape, ConvShape)]
        for shapes in (
            import_module(Student().eval(), (torch.zeros(1, 3, 224, 224),)),
            workload("mobilenet-v3-facepad").shapes,
        )
    )
    assert sizes == wanted


def test_a_student_computes_no_motion(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its graph has one input, the frame; neither training nor judging it touches flow or OpenCV."""
    program = torch.export.export(Student().eval(), (torch.zeros(1, 3, 32, 32),))
    assert [spec.kind.name for spec in program.graph_signature.input_specs].count("USER_INPUT") == 1

    def never(*_: object, **__: object) -> None:
        raise AssertionError("flow was computed")

    for name in ("flow", "flow_colours", "dis", "farneback"):
        monkeypatch.setattr(motion, name, never)
    monkeypatch.setitem(sys.modules, "cv2", None)
    student, same = (train_student(seen, RECIPE, torch.zeros(4, 2)) for seen in (samples, inverted(samples)))
    assert equal(student, same)
    assert torch.equal(logits(student, samples), logits(student, inverted(samples)))


def test_a_teacher_sees_motion(samples: Samples) -> None:
    """The same two runs are not equal where flow counts."""
    assert equal(train_teacher(samples, RECIPE), train_teacher(samples, RECIPE))
    assert not equal(train_teacher(samples, RECIPE), train_teacher(inverted(samples), RECIPE))


def inverted(samples: Samples) -> Samples:
    """With another flow."""
    return dataclasses.replace(samples, flow=255 - samples.flow)


def equal(one: nn.Module, other: nn.Module) -> bool:
    """Whether all tensors are, bit for bit."""
    states = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in states)


def test_folded_norms_leave_the_student_as_it_is() -> None:
    torch.manual_seed(0)
    student = Student()
    for part in student.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.1, 0.1)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before = student.eval()(pixels)
        for part in student.modules():
            if isinstance(part, nn.Sequential) and len(part) > 1 and isinstance(part[1], nn.BatchNorm2d):
                part[0] = torch.nn.utils.fuse_conv_bn_eval(part[0], part[1])
                part[1] = nn.Identity()
        assert not any(isinstance(part, nn.BatchNorm2d) for part in student.modules())
        torch.testing.assert_close(student(pixels), before, rtol=1e-5, atol=1e-5)


def test_distillation_at_its_ends() -> None:
    torch.manual_seed(0)
    student, teacher, labels = torch.randn(8, 2), torch.randn(8, 2), torch.randint(0, 2, (8,))
    assert distilled(student, labels, student, alpha=1).item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(distilled(student, labels, teacher, 0), F.cross_entropy(student, labels))
    p, q = ((logits / 3).double().softmax(1) for logits in (teacher, student))
    divergence = float((p * (p / q).log()).sum(1).mean())
    wanted = 0.3 * F.cross_entropy(student, labels).item() + 0.7 * 9 * divergence
    assert distilled(student, labels, teacher).item() == pytest.approx(wanted, rel=1e-5)


def test_temperature_leaves_the_gradients_size() -> None:
    torch.manual_seed(0)
    teacher, labels = torch.randn(8, 2), torch.zeros(8, dtype=torch.long)

    def size(temperature: float) -> float:
        student = torch.zeros(8, 2, requires_grad=True)
        distilled(student, labels, teacher, 1, temperature).backward()
        return float(student.grad.norm())

    assert size(30) / size(300) == pytest.approx(1, rel=0.01)


def test_means_over_clips() -> None:
    found = by_clip(torch.tensor([1.0, 0.0, 0.5, 0.25]), torch.tensor([0, 0, 1, 1]))
    assert found.tolist() == [0.5, 0.375]
    assert scores(torch.tensor([[0.0, 0.0]])).item() == 0.5
    assert normalized(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten()[0] == pytest.approx(
        0.515 / 0.229
    )


def test_what_cannot_train(samples: Samples) -> None:
    one_class = dataclasses.replace(samples, labels=torch.zeros(4, dtype=torch.long))
    for train in (train_teacher, train_student):
        with pytest.raises(InputError, match="of one class"):
            train(one_class, RECIPE)
    with pytest.raises(InputError, match=r"^alpha"):
        distilled(torch.zeros(1, 2), torch.zeros(1).long(), torch.zeros(1, 2), 1.5)
    with pytest.raises(InputError, match=r"^temperature"):
        distilled(torch.zeros(1, 2), torch.zeros(1).long(), torch.zeros(1, 2), 0.5, 0)
