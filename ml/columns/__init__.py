"""Columns of data as files and requests have them, read as the problem's domains say: the same in every reader.

spelling → a number that is written as text       arrow → a column of Arrow, of any type
fit → which values of an array are in a domain    header → what a CSV file begins with
"""
