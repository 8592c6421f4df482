"""The command `camloc`: the pipeline's steps, one by one."""

import argparse
import errno
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from camloc.core.errors import UserError, printable, reason

NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # a full disk, or one for reading alone

# For checks that notebooks do not ask for, jsonschema would build grammars of web addresses and
# durations: longer than all else that a stage loads to run its notebook. Without these it does not.
for _unwanted in ("rfc3987_syntax", "isoduration"):
    sys.modules.setdefault(_unwanted, None)


def main(argv: list[str] | None = None) -> int:
    """Run one command; of a `UserError` the message is printed, and its code is the exit code."""
    options = _parser().parse_args(argv)
    try:
        with _stage_of_dvc(options):
            options.command(options)
    except UserError as error:
        lines = [printable(line) for line in str(error).split("\n")]
        print("camloc:", "\n".join(lines), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        print(f"camloc: {reason(error)}: make room there, and run again", file=sys.stderr)
        return UserError.exit_code
    except KeyboardInterrupt:
        print("camloc: stopped", file=sys.stderr)
        return 130  # 128 + SIGINT, as shells tell it
    return 0


def _stage_of_dvc(options: argparse.Namespace) -> AbstractContextManager:
    """Tells how far the pipeline is, where this command is a stage of it."""
    own = options.command in (_prepare, _copies, _run, _render)
    if not own or "DVC_STAGE" not in os.environ:
        return nullcontext()
    from camloc.core.paths import repository_root
    from camloc.core.signals import end_with
    from camloc.pipeline.schedule import told

    end_with(os.getppid())

    # A path goes before the colon where DVC was started in another folder.
    return told(os.environ["DVC_STAGE"].rpartition(":")[2], repository_root(), _params())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="camloc", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="check params.yaml and what it names")
    check.add_argument("--keys", action="store_true", help="only its keys, and that DVC can run")
    check.set_defaults(command=_check)
    prepare = commands.add_parser(
        "prepare", help="check, and write what decides each stage's result"
    )
    prepare.set_defaults(command=_prepare)
    copies = commands.add_parser(
        "copies", help="make small copies of the pictures, where asked for"
    )
    copies.set_defaults(command=_copies)
    doctor = commands.add_parser("doctor", help="is all there for a study, and how long it takes")
    doctor.add_argument("study", nargs="?", help="a name in params/; params.yaml where left out")
    doctor.set_defaults(command=_doctor)
    run = commands.add_parser("run", help="run one notebook as dvc.yaml does")
    run.add_argument("notebook", help="such as 02_finetune")
    run.add_argument("--network", help="a name among the originals or models of params.yaml")
    run.set_defaults(command=_run)
    render = commands.add_parser("render", help="render the executed notebooks to reports/")
    render.set_defaults(command=_render)
    publish = commands.add_parser("publish", help="put the results where the docs quote them")
    publish.set_defaults(command=_publish)
    compare = commands.add_parser("compare", help="two revisions side by side, as a page")
    compare.add_argument("first", metavar="A", help="commit, branch, experiment or `workspace`")
    compare.add_argument("second", metavar="B", help="the same; differences are B − A")
    compare.set_defaults(command=_compare)
    commands.add_parser("sweep", help="experiments, as a page").set_defaults(command=_sweep)
    use = commands.add_parser("use", help="take a ready-made study as params.yaml")
    use.add_argument("study", help="a name in params/, such as tiny-imagenet")
    use.add_argument("--folder", help="where its images are, for studies of a given folder")
    use.set_defaults(command=_use)
    _add_own_files(commands)
    return parser


def _add_own_files(commands: argparse._SubParsersAction) -> None:
    """The commands for results and pictures that people bring."""
    score = commands.add_parser("score", help="errors of predictions that you bring")
    score.add_argument("--truth", type=Path, required=True, help="CSV, see docs/scoring.md")
    score.add_argument("--predictions", type=Path, required=True, help="CSV or devkit's text")
    score.add_argument("--images", type=Path, help="names in the order of the devkit's lines")
    score.add_argument("--blacklist", type=Path, help="images that count for classes alone")
    score.add_argument("--classes", type=Path, help="every label, one per line; others are refused")
    score.add_argument("--json", type=Path, help="also write the figures to this file")
    score.set_defaults(command=_score)
    maps = commands.add_parser("score-maps", help="scores of maps that you bring")
    maps.add_argument("--truth", type=Path, required=True, help="CSV of boxes, see docs/scoring.md")
    maps.add_argument("--sizes", type=Path, required=True, help="CSV of image,width,height")
    maps.add_argument("--maps", type=Path, required=True, help=".npy (N, h, w), or a folder")
    maps.add_argument("--images", type=Path, help="names in the order of the array")
    maps.add_argument("--masks", type=Path, help="folder with one .png per image, for PxAP")
    maps.add_argument("--ignore", type=int, metavar="VALUE", help="of masks' pixels left out: 255")
    maps.add_argument("--json", type=Path, help="also write the figures to this file")
    maps.set_defaults(command=_score_maps)
    look = commands.add_parser("look", help="what a pretrained network sees in your picture")
    look.add_argument("photos", nargs="*", type=Path, metavar="PHOTO", help="none: some examples")
    look.add_argument("--network", help="one with published weights that ends in global pooling")
    look.add_argument("--classes", nargs="+", help="names, wnids or numbers, not the likeliest 5")
    look.add_argument("--method", help="another map method than cam: grad-cam, layer-cam@blocks.4")
    look.add_argument("--size", type=_side, help="side of what the network sees, in pixels: 320")
    look.add_argument("--threshold", type=_share, help="share of a map's maximum: 0.2")
    look.add_argument("--out", type=Path, default=Path("reports/look"), help="folder of results")
    look.set_defaults(command=_look)


def _side(text: str) -> int:
    if not text.isdecimal() or not 32 <= int(text) <= 2048:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels from 32 to 2048")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to 1")
    return share


def _look(options: argparse.Namespace) -> None:
    from camloc.report.look import look

    names = ("network", "classes", "size", "threshold", "method")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    look(options.photos, options.out, **given)


def _score(options: argparse.Namespace) -> None:
    from camloc.exchange.score import score

    files = options.truth, options.predictions, options.images, options.blacklist, options.classes
    _tell(options, lambda: score(*files))


def _score_maps(options: argparse.Namespace) -> None:
    from camloc.exchange.score import score_maps

    files = options.truth, options.sizes, options.maps, options.images, options.masks
    _tell(options, lambda: score_maps(*files, options.ignore))


def _tell(options: argparse.Namespace, score: Callable[[], dict]) -> None:
    """Print scores, then write them: a full disk loses no work."""
    from camloc.exchange.score import as_text, check_target, write_scores

    if options.json:
        check_target(options.json)
    scores = score()
    print(as_text(scores, options.truth))
    if options.json:
        write_scores(scores, options.json)


def _params():
    from camloc.core import params
    from camloc.core.paths import repository_root

    return params.load(repository_root() / "params.yaml")


def _check(options: argparse.Namespace) -> None:
    params = _params()
    if options.keys:
        from camloc.core import surroundings
        from camloc.core.paths import repository_root
        from camloc.pipeline.restore import forget_damaged

        root = repository_root()
        forget_damaged(root, surroundings.check(root))
    else:
        from camloc.pipeline.checks import check

        check(params)


def _prepare(options: argparse.Namespace) -> None:
    from camloc.core.files import remove_abandoned
    from camloc.core.paths import FOLDER, repository_root
    from camloc.pipeline import fingerprints
    from camloc.pipeline.restore import restore

    params, root = _params(), repository_root()
    remove_abandoned(root / FOLDER, *(root / FOLDER).glob("*/"), root / "reports")
    if back := restore(root):
        print(f"brought back from the cache: {', '.join(back)}")
    if changed := fingerprints.changed(root, params):
        # What a check looks at, networks and data, decides the stages before these, too.
        if {name.partition("/")[0] for name in changed} - {"evaluate", "report", "render"}:
            from camloc.pipeline.checks import check

            check(params)
        fingerprints.write(root, params)
        print(f"{len(changed)} stages have something new")


def _copies(options: argparse.Namespace) -> None:
    from camloc.core.files import write_text
    from camloc.core.paths import FOLDER, Study

    study, loading, count = Study.at(FOLDER), _params().loading, 0
    if loading.copies:
        from camloc.data.copies import make

        count = make(study, loading)
    write_text(study.copies, f"{count}\n")


def _doctor(options: argparse.Namespace) -> None:
    from camloc.core import params
    from camloc.core.paths import repository_root
    from camloc.pipeline import parameters, studies

    root = repository_root()
    file = studies.ready_made(options.study, root)[options.study] if options.study else None
    study = params.load(file or root / "params.yaml")
    if study.portable:  # before torch is loaded
        os.environ |= parameters.PORTABLE
    from camloc.pipeline.doctor import doctor

    doctor(study, root)


def _run(options: argparse.Namespace) -> None:
    from camloc.pipeline.notebooks import run_notebook

    run_notebook(options.notebook, _params(), options.network)


def _use(options: argparse.Namespace) -> None:
    from camloc.core.paths import repository_root
    from camloc.pipeline.studies import use

    print(use(options.study, repository_root(), options.folder))


def _publish(options: argparse.Namespace) -> None:
    from camloc.core.paths import repository_root
    from camloc.pipeline.publish import publish

    print(f"published in {publish(repository_root(), _params())}; look at it, and commit it")


def _compare(options: argparse.Namespace) -> None:
    from camloc.core.paths import repository_root
    from camloc.report.compare import compare

    print(compare(repository_root(), options.first, options.second))


def _sweep(options: argparse.Namespace) -> None:
    from camloc.core.paths import repository_root
    from camloc.report.sweep import sweep

    print(sweep(repository_root()))


def _render(options: argparse.Namespace) -> None:
    from camloc.report.pages import render

    print(render(_params()))


if __name__ == "__main__":
    sys.exit(main())
