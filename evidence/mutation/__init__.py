"""Mutation coverage: does the verification notice a changed gate of a component?"""
