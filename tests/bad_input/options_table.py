"""Options that are misspelt, of the wrong type, out of range, or not of this command."""

from __future__ import annotations

from bad_input.bad import Bad, each_with
from bad_input.commands import AM, DEMO, FEATURES, GROUP_AM, RANK, SALIENCY
from bad_input.makers import all_of, array, folder, picture

_COMMANDS = [
    Bad("no command", "", "give a command, one of demo, layers, am,"),
    Bad("a command's near miss", "rnak", '"rnak" … "rank"'),
    Bad("no such command", "xyzzy", 'there is no command "xyzzy"; first comes one of demo,'),
    Bad("an option for a command", "--nonsense", '"--nonsense"'),
    Bad("layers without its model", "layers --model", "--model … layers --help"),
    Bad("am without its layer", "am", "--layer … neurovis am --help"),
    Bad("features without pictures", "features --layer conv1", "features needs --images"),
    Bad("rank with an option of am", "rank --layer conv1 --joint min", '"--joint"'),
]

_AM = each_with(
    AM,
    [
        ("option's near miss", "--stepz 3", '"--stepz" … "--steps"'),
        ("option cut short", "--kernel 3", '"--kernel" … "--kernels"'),
        ("another's option", "--top 16", '"--top" … "--top_images"'),
        (
            "the Trainer's near miss",
            "--trainer.max_step 3",
            '"--trainer.max_step" … "--trainer.max_steps"',
        ),
        ("a value without option", "extra", 'am … "extra"'),
        ("steps in words", "--steps many", 'steps … "many"'),
        ("no judge", "--judge", "--judge"),
        ("a judge that is none", "--judge timm.resnet", 'model "timm.resnet"'),
        (
            "a judge that is the model",
            "--judge demo",
            'judge "demo" has the weights of the network that made the images',
        ),
        (
            "a judge without pictures",
            "--judge neurovis.demo.ShapeNet",
            'kernels of layer "conv2" stand for; give pictures … --images',
        ),
        ("half a step", "--steps 1.5", 'steps … "1.5"'),
        ("no steps", "--steps 0", "steps … 1 … 0"),
        (
            "steps without end",
            f"--steps {10**20}",
            f"an integer of at most 1000000000; got {10**20}",
        ),
        ("learning rate in words", "--lr fast", 'lr … "fast"'),
        ("negative learning rate", "--lr -1", "lr … 0 … -1.0"),
        ("total variation that is none", "--tv nan", 'tv … "nan"'),
        (
            "turns that overflow",
            "--rotate 1e300",
            "rotate … 360 … 1e+300",
        ),
        (
            "scales that vanish",
            "--scale [1e-300,1]",
            "0.001 <= low <= high <= 1000; got (1e-300, 1.0)",
        ),
        ("one scale", "--scale [2]", 'scale … 2 … "[2]"'),
        ("no such sign", "--sign 2", 'sign must be 1, -1, both; got "2"'),
        ("a change of nothing", "--change 0.5", "change is from an image to start from; give init"),
        ("two pictures to start from", "--accentuate a.png --init b.png", "leave out --init"),
        ("no such photograph", "--accentuate nowhere.png", "nowhere.png"),
        ("no yes or no", "--crop perhaps", 'crop … "perhaps"'),
        (
            "contrast beyond white",
            "--contrast 9",
            "contrast … 0 … 0.475 … 9.0",
        ),
        ("contrast of nothing", "--contrast.rbg 0.1", 'contrast names "rbg", which is no modality'),
        (
            "frozen without a name",
            "--frozen x.png",
            'frozen … "{name',
        ),
        (
            "objective's near miss",
            "--objective Positon",
            'objective … deep_dream … "Positon" … "Position"',
        ),
        (
            "objective's argument",
            "--objective Position --objective.rwo 3",
            'objective … "rwo" … "row"',
        ),
        (
            "objective's type",
            "--objective Position --objective.row x",
            'objective.row … "x"',
        ),
        (
            "objective outside the map",
            "--objective Position --objective.row 99 --objective.column 3",
            "position row 99, column 3 is outside the layer's maps of 16 x 16 units",
        ),
        (
            "objective that does not import",
            "--objective no_such.thing",
            'objective … "no_such.thing" … "no_such"',
        ),
        (
            "objective that is no objective",
            "--objective math.sqrt",
            "the objective math.sqrt failed on a tensor (2, 48, 16, 16): ",
        ),
        (
            "objective without vectors",
            "--objective Direction",
            "objective … Direction … vectors",
        ),
        (
            "penalty in a list",
            "--regularizers [TotalVariatio]",
            'regularizers … "TotalVariatio" … "TotalVariation"',
        ),
        (
            "penalty of no kind",
            "--regularizers [Smoothness]",
            'regularizers … "Smoothness" … LpContrast',
        ),
        (
            "penalty without list",
            "--regularizers TotalVariation",
            'regularizers … "TotalVariation"',
        ),
        (
            "penalty's argument",
            "--regularizers '[{class_path: TotalVariation, init_args: {weigth: 3}}]'",
            'regularizers … "weigth" … "weight"',
        ),
        (
            "penalty's range",
            "--regularizers '[{class_path: TotalVariation, init_args: {weight: -3}}]'",
            "weight … 0 … -3.0",
        ),
        ("a number in a list of transforms", "--transforms [1]", 'transforms … "1"'),
        ("a list in a list of transforms", "--transforms [[1]]", 'transforms … "[1]"'),
        ("a number in a list of penalties", "--regularizers [1]", 'regularizers … "1"'),
        ("a number for a callback", "--trainer.callbacks [1]", 'trainer.callbacks … "1"'),
        (
            "learning rates for no logger",
            "--trainer.logger false --trainer.callbacks LearningRateMonitor",
            "--trainer.callbacks LearningRateMonitor: Cannot use",
        ),
        (
            "a learning rate to be found",
            "--trainer.callbacks LearningRateFinder",
            "--trainer.callbacks LearningRateFinder: When using the learning rate finder,",
        ),
        ("a leak of twice the gradient", "--leak 2", "leak … 1 … 2.0"),
        (
            "an improvement by more than all",
            "--min_improvement 1.5",
            "min_improvement … 1 … 1.5",
        ),
        ("transform in a list", "--transforms [Jiter]", 'transforms … "Jiter" … "Jitter"'),
        (
            "transform's argument",
            "--transforms '[{class_path: Jitter, init_args: {pixel: 3}}]'",
            'transforms … "pixel" … "pixels"',
        ),
        (
            "transform that is none",
            "--transforms [math.sqrt]",
            "the transform math.sqrt failed on a tensor (2, 4, 64, 64): ",
        ),
        (
            "parametrization's near miss",
            "--parametrization Fouier",
            'parametrization … "Fouier" … "Fourier"',
        ),
        ("kernel out of range", "--kernels 48", 'kernel 48 is out of range: layer "conv2" has 48'),
        ("kernels backwards", "--kernels 5-2", 'the range "5-2" runs backwards; write "2-5"'),
        ("kernels without end", "--kernels 0-999999999999", '"0-999999999999" is longer than any'),
        ("kernels of no ranking", "--kernels top:2:orientaton", 'no ranking "orientaton"; did you'),
        ("more kernels than there are", "--kernels top:2000", 'top(2000): layer "conv2" has 48'),
        ("no accelerator", "--trainer.accelerator gpuu", "Trainer with --trainer.accelerator gpuu"),
        (
            "no such number of steps",
            "--trainer.max_steps -5",
            "no Trainer with --trainer.max_steps -5: `max_steps` must be a non-negative integer",
        ),
        (
            "no such time",
            "--trainer.max_time soon",
            "no Trainer with --trainer.max_time soon: `Timer(duration='soon')` is not a valid",
        ),
        (
            "no such profiler",
            "--trainer.profiler simpel",
            "no Trainer with --trainer.profiler simpel: When passing string value for the",
        ),
        ("no devices", "--trainer.devices 0", "--trainer.devices 0: `Trainer(devices='0')`"),
        (
            "logger's near miss",
            "--trainer.logger CSVLoger",
            'trainer.logger … "CSVLoger" … "CSVLogger"',
        ),
        (
            "callback of no kind",
            "--trainer.callbacks [Nope]",
            'trainer.callbacks … "Nope"',
        ),
        ("no step to be made", "--trainer.max_epochs 0", "--trainer.max_epochs 0 leaves no step"),
        (
            "steps in parts",
            "--trainer.accumulate_grad_batches 4",
            "leave accumulate_grad_batches at 1",
        ),
        (
            "a precision that overflows",
            "--trainer.precision 16-mixed",
            "--trainer.precision 16-mixed would skip a step of all images",
        ),
        ("no top images", "--top_images 0", "top_images … at least 1 … 0"),
    ],
)

_GROUPS = each_with(
    GROUP_AM,
    [
        ("no way to join", "--joint meen", 'joint … "meen" … "mean"'),
        ("a group out of range", "--groups 0-99", 'kernel 48 is out of range: layer "conv2"'),
        (
            "a kernel twice in a group",
            "--groups [[0,0]]",
            "groups: kernel 0 is named twice in",
        ),
        (
            "a kernel twice in a range",
            "--groups 0-3,2",
            "groups: kernel 2 is named twice",
        ),
        ("a kernel silenced twice", "--suppressed [[4,4]]", "suppressed: kernel 4 is named twice"),
        ("groups of none", "--groups each:0", 'groups: "each:0" needs a number of kernels'),
        ("groups in words", "--groups eech:2", 'cannot read "eech:2"'),
        (
            "weights for too few",
            "--joint weighted --member_weights [[1]]",
            "weights must have one value per kernel: 2 kernels, 1 weights",
        ),
        (
            "weights in words",
            "--joint weighted --member_weights heavy",
            'member_weights … "heavy"',
        ),
        (
            "driven and suppressed",
            "--suppressed 0",
            "driven and suppressed at once; got [0] as both",
        ),
    ],
)

_RANKINGS = each_with(
    RANK,
    [
        ("ranking's near miss", "--by orientaton", '"orientaton" … "orientation"'),
        ("a function for a ranking", "--by os.getcwd", '"os.getcwd" is no ranking: make it a sub'),
        ("a path for a ranking", "--by ../x.py", '"../x.py" is not an import path such as "mypack'),
        ("few orientations", "--orientations 3", "orientations must be at least 4,"),
        (
            "orientations without end",
            "--orientations 100000",
            "orientations must be at most 1800; got 100000",
        ),
        ("phases without end", "--phases 361", "phases must be at most 360; got 361"),
        (
            "random kernels without end",
            "--null_kernels 1000000",
            "null_kernels must be at most 100000; got 1000000",
        ),
        (
            "stimuli without end",
            f"--batch_size {10**20}",
            f"batch_size must be at most 1000000; got {10**20}",
        ),
        ("too fine", "--spatial_frequencies [0.9]", "at most 0.35 cycles/pixel; got 0.9"),
        ("frequencies in words", "--spatial_frequencies fine", 'spatial_frequencies … "fine"'),
        ("readout's near miss", "--readout men", 'readout … "men"'),
        ("no figure", "--top 0", "top … at least 1 … 0"),
        (
            "another precision",
            "--trainer.precision 16-mixed",
            "float32; got --trainer.precision 16-m",
        ),
        (
            "a part of the stimuli",
            "--trainer.limit_predict_batches 1",
            "leave out fast_dev_run and",
        ),
        ("pictures for nothing", "--images .", "--images are for rankings by images (sparseness,"),
        ("classes that are not there", "--by class --images cats", 'there is no folder "cats"'),
    ],
)
_RANKINGS += [
    Bad(
        "pictures without classes",
        f"{RANK} --by class --images photos",
        "one folder of pictures for each class … got photos",
        all_of(folder("photos"), picture("photos/a.png")),
    ),
    Bad(
        "a class without pictures",
        f"{RANK} --by class --images photos",
        'there is no picture in "photos/cat"',
        folder("photos/cat"),
    ),
]

_SALIENCY = [
    Bad(name, f"{SALIENCY} p.npy {options}", says, array("p.npy", [[[0.5] * 64] * 64] * 4))
    for name, options, says in (
        ("method's near miss", "--method gradiant", '"gradiant" … "gradient"'),
        ("class out of range", "--kernels 9", 'kernel 9 is out of range: layer "output" has 8'),
        ("no samples", "--samples 0", "samples … 1 … 0"),
        ("negative noise", "--noise -1", "noise … 0 … -1.0"),
        ("stages of nothing", "--max_stages 2", "got 2 without --randomization"),
        (
            "layer of Grad-CAM",
            "--method gradcam --gradcam_layer conv99",
            'layer "conv99" not found',
        ),
        ("several devices", "--trainer.devices 2", "one network on one device; got 2"),
    )
]

_DEMO = each_with(
    DEMO,
    [
        ("demo of no layer", "--layer relu9", '"relu9" … "relu4"'),
        ("demo without steps", "--steps 0", "steps … 1 … 0"),
        ("demo backwards in time", "--seconds -3", "seconds … at least 0 … -3"),
        ("demo on no device", "--accelerator gpuu", "no Trainer with --accelerator gpuu"),
        ("demo with a Trainer", "--trainer.accelerator cpu", '"--accelerator"'),
    ],
)


OPTIONS = [
    *(*_COMMANDS, *_AM, *_GROUPS, *_RANKINGS, *_SALIENCY, *_DEMO),
    Bad("figures of no kernels", f"{FEATURES} . --max_kernels 0", "max_kernels … at least 1"),
]
