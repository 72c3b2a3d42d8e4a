"""Modalities: records of images, audio, video, text, series and tables become datasets."""
