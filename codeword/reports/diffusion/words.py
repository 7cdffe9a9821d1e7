"""What the page of the diffusion report says around its tables."""

WORDS = """# Diffusion in few bits

Made by `codeword report diffusion`. The shipped U-Net (`algos/zoo/unet_fashion`: 303,505 parameters, 16x16
Fashion-MNIST by class) draws from the same noise in float and quantized, DDIM with {steps} steps, no guidance.
All figures are *measured* on pictures of the quantized network beside those of the float network, the
reference. The framework is *inspired by* arXiv 2412.06661, whose equations, settings and tables are not public
(`docs/diffusion.md`).

![pictures](diffusion.png)

## The final pair: W4A8, {final} pictures, {seeds} seeds of calibration

{pairs}

The paper says 45 % to 60 % better similarity of distribution and of pictures at W4A8 than the best work before
it, for Stable Diffusion. Here, *all* beside *naive*:

{gain}

## Pieces: W4A8, {ablation} pictures, one seed

{ablations}

{idle}

- *naive*: ranges are all that was seen on the float network's latents of all time steps, one scale a tensor;
  weights to the nearest; all layers, those of the time step too.
- *time-sampled*: ranges of least squared error on these latents, as Q-Diffusion (arXiv 2302.04304) samples time
  steps; without its split short cuts. *learned rounding*: the same, and AdaRound's rounding of the weights
  (arXiv 2004.10568), learned for all layers together as BRECQ does a block's, on the float network's latents.
- *tables*: time information precalculated. *steps*: scales of activations a time step. *mixed*: 8-bit weights
  for the layers whose sensitivity, measured, is largest for their size, 5 bits a weight in the mean at most.
  *serial*: scales and weights learned on latents that the quantized network runs into; *distillation* of blocks
  and *freezing* are parts of that training.
- *all - x*: everything but x; without *serial* the same training runs on the float network's latents, without
  *shuffling* a batch is of one time step. Only rows with the same bits a weight are comparable without a
  thought for size.
- *feature distance*: of unit vectors of channels in three stages of the shipped ResNet-20, LPIPS without
  learned weights. *Frechet*: of normal distributions in its last 64 features. Fewer pictures make it larger:
  the two halves of the float network's {final} pictures are {halves:.4f} apart. *same class*: by that
  classifier.
- {calibration} pictures calibrate.
- *PSNR*, *SSIM*: of values in -1..1, SSIM with a uniform window of 7 pixels.

## Other widths, {ablation} pictures

{widths}

## The float network itself

The classifier (28x28, fed 16x16 pictures enlarged) finds the class that was asked for in {asked_class:.1%} of
the float network's pictures, and the right one in {accuracy_of_real:.1%} of real test pictures reduced and
enlarged the same way. The float network's pictures are {frechet_to_real:.3f} from these in Frechet distance: it
was trained for minutes.

## Steps of integers

Weights of *all* as learned; scales of all tensors chosen by the front end on the quantized network's latents
of each step, so that the learned scales of activations are not taken over. Time tables are biases of the step.

{integers}

The RTL has no products of two activations, so that of an attention its projections run there, and the products, the
softmax, norms and joins in the engine alone. The times follow each other in one simulation: the weights stay where
they are, and software writes the bases of commands and maps before it starts again.

## Bits under a budget of energy

{energy}

## Stable Diffusion's shapes, {evaluations} evaluations

Closed form, `sim/workloads`, INT8 or the machine's own format on all layers but those that it cannot compress;
no weights. Guidance takes twice as many evaluations. *time*: the layers of the time step, which tables replace;
in XL the projections depend on text and size too and stay, `time1` and `time2` can go. *mixed*: first and last
layer, short cuts, projections into and out of attention blocks, keys and values of the text and the time layers stay
in INT8, which is assumed: which layers need it, only weights could tell. A machine that
compresses nothing has 100 % of them.

{shapes}

"""
