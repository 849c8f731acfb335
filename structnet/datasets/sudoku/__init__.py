"""Sudoku of any box size: files, symmetries, solver and generator."""

from structnet.datasets.sudoku.canonical import canonical as canonical
from structnet.datasets.sudoku.canonical import equivalent as equivalent
from structnet.datasets.sudoku.files import format_board as format_board
from structnet.datasets.sudoku.files import parse_board as parse_board
from structnet.datasets.sudoku.files import read_boards as read_boards
from structnet.datasets.sudoku.generate import generate as generate
from structnet.datasets.sudoku.solver import Solutions as Solutions
from structnet.datasets.sudoku.solver import solve as solve
from structnet.datasets.sudoku.symmetry import relabel as relabel
from structnet.datasets.sudoku.symmetry import reveal as reveal
