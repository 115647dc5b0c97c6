#!/usr/bin/env python3
"""All mutants that cargo-mutants knows of some crates, compiled into one tree and chosen at run time (docs/measured/mutants.md).

    at_once.py make DIR             a copy of the tree in DIR, in which each function holds its mutants, and its tests
    at_once.py run DIR CRATE [K/N]  runs the crate's mutants, or each Nth of them, until a test fails

cargo-mutants compiles once for each mutant, which for crates that others stand on is most of the time. Here a function's
body becomes a `match` over the number in TOMBOLO_MUTANT, with an arm for each mutant; arms that don't compile are left
out. What this can't do (`const fn`, functions that return `impl Trait`) is counted as "apart".
"""
import collections, json, os, re, resource, shutil, signal, subprocess, sys, time

CRATES = ["net", "diff", "engine", "plan"]
# Crates whose own tests hold another one too.
DEPENDENTS = {"net": ["plan", "engine"], "diff": ["engine"], "engine": [], "plan": ["diff", "engine"]}
FAR = ["tests/sim", "tests/scenarios"]
# Slow for what they find here, and tests of the simulation itself.
LEFT_OUT = ["properties", "guard", "nb_differential"]
SEEDS = os.environ.get("SIM_SEEDS", "0..40")
CHOOSE = """
#[doc(hidden)]
pub fn __mutant() -> u32 {
    static CHOSEN: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var("TOMBOLO_MUTANT").ok().and_then(|it| it.parse().ok()).unwrap_or(0))
}
"""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What a mutant is warned of is no matter, and some lints would deny it.
ENV = dict(os.environ, RUSTFLAGS="--cap-lints=allow")


def offsets(text):
    """From a line and column to a place in the text."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return lambda at: starts[at["line"] - 1] + at["column"] - 1


def skip(text, i):
    """The end of the comment, string or character that begins here; here, if none does."""
    if text.startswith("//", i):
        end = text.find("\n", i)
        return len(text) if end < 0 else end
    if text.startswith("/*", i):
        return text.index("*/", i) + 2
    raw = re.compile(r'b?r(#*)"').match(text, i)
    if raw and not (i and (text[i - 1].isalnum() or text[i - 1] == "_")):
        return text.index('"' + raw[1], raw.end()) + 1 + len(raw[1])
    if text[i] == '"':
        i += 1
        while text[i] != '"':
            i += 2 if text[i] == "\\" else 1
        return i + 1
    char = re.compile(r"'(\\.[^']*|[^'\\])'").match(text, i)
    return char.end() if char else i


def body(text):
    """Where the braces of a function's body are."""
    open_braces, i = [], 0
    while i < len(text):
        if (end := skip(text, i)) != i:
            i = end
            continue
        if text[i] == "{":
            open_braces.append(i)
        elif text[i] == "}":
            begin = open_braces.pop()
            if i == len(text) - 1:
                return begin, i
        i += 1
    raise ValueError(text)


def mutants():
    found = []
    for number, crate in enumerate(CRATES, 1):
        command = ["cargo", "mutants", "--list", "--json", "-p", f"tombolo-{crate}"]
        listed = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
        for place, mutant in enumerate(listed):
            found.append(mutant | {"id": number * 10_000 + place, "crate": crate})
    return found


def write(path, text):
    """Leaves a file alone that is right: cargo goes by its time."""
    if not os.path.exists(path) or open(path).read() != text:
        open(path, "w").write(text)


def put_in(tree, all_mutants, dead):
    """Writes the functions with their mutants. Where each arm is, by file, and the mutants that have none."""
    files, arms, apart = collections.defaultdict(list), {}, set()
    for mutant in all_mutants:
        files[mutant["file"]].append(mutant)
    for file, of_file in files.items():
        text = open(f"{ROOT}/{file}").read()
        at = offsets(text)
        spans = {tuple(at(it["function"]["span"][end]) for end in ("start", "end")) for it in of_file}
        out, done, arms[file] = "", 0, []
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            if begin < done:
                continue  # inside of the one before
            function = text[begin:end]
            first, last = body(function)
            head, inner = function[:first], function[first : last + 1]
            ours = [it for it in of_file if begin <= at(it["span"]["start"]) < end]
            bare = re.sub(r"//.*", "", head)
            if re.search(r"\bconst fn\b|->.*\bimpl\b", bare, re.S):
                apart |= {it["id"] for it in ours}
                continue
            out += text[done:begin] + head + "{ match crate::__mutant() {\n"
            for it in ours:
                if it["id"] in dead:
                    continue
                start, stop = (at(it["span"][which]) - begin - first for which in ("start", "end"))
                line = out.count("\n") + 1
                out += f"{it['id']} => {inner[:start]} {it['replacement']} {inner[stop:]}\n"
                arms[file].append((line, out.count("\n"), it["id"]))
            out += f"_ => {inner}\n}} }}"
            done = end
        out += text[done:]
        write(f"{tree}/{file}", out + (CHOOSE if file.endswith("/src/lib.rs") else ""))
    for crate in CRATES:
        path = f"{tree}/crates/{crate}/src/lib.rs"
        text = open(path).read()
        write(path, text if "fn __mutant" in text else text + CHOOSE)
    return arms, apart


def cargo(tree, *arguments):
    command = ["cargo", *arguments, "--profile", "mutants", "--message-format=json"]
    done = subprocess.run(command, cwd=tree, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def copy(tree):
    """The sources, in place of those of an earlier run; what that one compiled stays."""
    os.makedirs(tree, exist_ok=True)
    for name in set(os.listdir(tree)) - {"target"}:
        old = os.path.join(tree, name)
        shutil.rmtree(old) if os.path.isdir(old) else os.remove(old)
    left_out = lambda directory, _: [".git", "target"] if directory == ROOT else []
    shutil.copytree(ROOT, tree, ignore=left_out, symlinks=True, dirs_exist_ok=True)


def make(tree):
    copy(tree)
    all_mutants, dead = mutants(), set()
    packages = [f"-ptombolo-{crate}" for crate in CRATES]
    while True:
        arms, apart = put_in(tree, all_mutants, dead)
        done, messages = cargo(tree, "check", "--keep-going", *packages)
        if done.returncode == 0:
            break
        new = set()
        for message in (it["message"] for it in messages if it["reason"] == "compiler-message"):
            spans = sorted(message["spans"], key=lambda it: not it["is_primary"])
            hit = (arm[2] for it in spans for arm in arms.get(it["file_name"], []) if arm[0] <= it["line_start"] <= arm[1])
            new |= set(list(hit)[:1]) if message["level"] == "error" else set()
        if not new - dead:
            sys.exit(done.stderr)
        dead |= new
    for it in all_mutants:
        it["state"] = "unviable" if it["id"] in dead else "apart" if it["id"] in apart else "viable"
    for crate in CRATES:
        print(crate, collections.Counter(it["state"] for it in all_mutants if it["crate"] == crate))
    packages += ["-ptombolo-tests-sim", "-ptombolo-tests-scenarios"]
    done, messages = cargo(tree, "test", "--no-run", "--tests", *packages)
    if done.returncode != 0:
        sys.exit(done.stderr)
    tests = []
    for it in messages:
        if it["reason"] == "compiler-artifact" and it["executable"]:
            folder = os.path.relpath(it["package_id"].split("#")[0].removeprefix("path+file://"), os.path.realpath(tree))
            tests.append({"folder": folder, "name": it["target"]["name"], "program": it["executable"]})
    json.dump({"mutants": all_mutants, "tests": tests}, open(f"{tree}/mutants.json", "w"))


def attempt(tree, test, mutant, limit):
    """How one test program ends with a mutant, and after how long."""
    environment = ENV | {"TOMBOLO_MUTANT": str(mutant), "SIM_SEEDS": SEEDS}
    command = [test["program"], "-q"] + (["--skip", "every_mutant_is_caught"] if test["name"] == "seeds" else [])

    def bounded():
        # A mutant may fill the memory in a loop.
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        os.setsid()

    begin = time.monotonic()
    program = subprocess.Popen(
        command, cwd=f"{tree}/{test['folder']}", env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=bounded,
    )
    try:
        end = "missed" if program.wait(limit) == 0 else "caught"
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        end = "timeout"
    return end, time.monotonic() - begin


def run(tree, crate, shard):
    part, parts = map(int, shard.split("/"))
    made = json.load(open(f"{tree}/mutants.json"))
    own = [it for it in made["tests"] if it["folder"] == f"crates/{crate}"]
    near = [it for it in made["tests"] if it["folder"] in [f"crates/{other}" for other in DEPENDENTS[crate]]]
    far = [it for it in made["tests"] if it["folder"] in FAR and it["name"] not in LEFT_OUT]
    usual = {}
    for test in own + near + far:
        end, usual[test["program"]] = attempt(tree, test, 0, 600)
        if end != "missed":
            sys.exit(f"{test['name']} fails without a mutant")
    far.sort(key=lambda test: usual[test["program"]])
    counts = collections.Counter()
    viable = [it for it in made["mutants"] if it["crate"] == crate and it["state"] == "viable"]
    for mutant in viable[part::parts]:
        end = "missed"
        for test in own + near + far:
            end, _ = attempt(tree, test, mutant["id"], 20 + 10 * usual[test["program"]])
            if end != "missed":
                break
        counts[end if end != "caught" else "caught by its own" if test in own else "caught"] += 1
        if end == "missed":
            print("missed:", mutant["name"], flush=True)
    print(crate, dict(counts))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", tree]:
            make(os.path.abspath(tree))
        case ["run", tree, crate, *shard]:
            run(os.path.abspath(tree), crate, *shard or ["0/1"])
        case _:
            sys.exit(__doc__)
