"""Builds the appliance: a bootable image with a kernel, Python, Keystead and nothing else.

It runs on the machine of whoever builds the image. Nothing of it runs in the appliance.
"""
