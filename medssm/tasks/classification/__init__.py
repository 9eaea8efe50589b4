"""Classification of photographs."""
