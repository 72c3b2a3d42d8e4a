"""Published weights: their files, and the names and layouts of torchvision, timm and Hugging Face."""
