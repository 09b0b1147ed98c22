"""An optional larger model, at an address or in a folder, that fills the attributes and names of a region.

Off unless asked for. It gets the crop around the region and nothing else, and what it replies is data: only words that
pass `reply.read_reply` are used, and for everything else the measured words stay.
"""
